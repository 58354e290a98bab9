"""Stories from before the daemon's start, and longer ones than are remembered: from the recording."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from contextlib import suppress

from remediator.core.ledger import Incident
from remediator.core.reading import Reading
from remediator.core.scene import Scene
from remediator.core.story import changes
from remediator.errors import RecordingError

# More than a page shows at once, and of each story so much that all of them take some 50 MB: in memory
# a scene takes twice as many bytes as it has characters.
_KEPT = 16
_MOST_SCENES, _MOST_CHARACTERS = 2000, 1_500_000
# Readings between two rests, and how much longer than the work these are: a quarter of one processor at most.
_A_FEW, _REST = 100, 3

Recount = Callable[[str], Awaitable[Sequence[Scene]]]


class Archive:
    """Looks stories up one at a time, in the background, and keeps some.

    Args:
        recount: Tells what was recorded of an incident; raises RecordingError.
    """

    def __init__(self, recount: Recount) -> None:
        self._recount = recount
        self._found: dict[tuple[str, bool], Sequence[Scene]] = {}
        self._task: asyncio.Task[None] | None = None

    def known(self, incident: Incident) -> Sequence[Scene]:
        """What was found of an incident so far."""
        over, under_way = (incident.id, True), (incident.id, False)
        return self._found.get(over) or self._found.get(under_way) or ()

    def look_up(self, incidents: Sequence[Incident]) -> None:
        """Begin to look up what is not known of these, unless that is under way; let go of others first."""
        for key in map(_key, incidents):
            if key in self._found:
                self._found[key] = self._found.pop(key)
        wanted = [one for one in incidents if _key(one) not in self._found]
        if wanted and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._look_up(wanted))

    async def _look_up(self, incidents: Sequence[Incident]) -> None:
        for one in incidents:
            found: Sequence[Scene] = ()
            with suppress(RecordingError):  # told by the one that records; what the ledger has is shown
                found = await self._recount(one.id)
            self._found[_key(one)] = found
            while len(self._found) > _KEPT:
                del self._found[next(iter(self._found))]


def _key(incident: Incident) -> tuple[str, bool]:
    """An incident is looked up once while it is open, and once more when it is over."""
    return incident.id, incident.closed_at is not None


async def told_by(readings: AsyncIterable[Reading]) -> Sequence[Scene]:
    """Tell what readings of one database tell, as much of the newest as is kept, with rests in between.

    Args:
        readings: Oldest first.

    Raises:
        RecordingError: They cannot be had.
    """
    scenes: deque[tuple[int, Scene]] = deque()
    before: Reading | None = None
    characters, number, begun = 0, 0, time.monotonic()
    async for reading in readings:
        told = [(len(repr(scene)), scene) for scene in changes(before, reading)]
        scenes.extend(told)
        characters += sum(size for size, _ in told)
        while len(scenes) > _MOST_SCENES or characters > _MOST_CHARACTERS:
            characters -= scenes.popleft()[0]
        before = reading
        number += 1
        if number % _A_FEW == 0:
            await asyncio.sleep(_REST * (time.monotonic() - begun))
            begun = time.monotonic()
    return tuple(scene for _, scene in scenes)
