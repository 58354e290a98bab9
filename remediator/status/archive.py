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

_KEPT = 50
_MOST_SCENES = 2000
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
        """Begin to look up what is not known of these, unless that is under way."""
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
    """Tell what readings of one database tell, the newest scenes of it, with rests in between.

    Args:
        readings: Oldest first.

    Raises:
        RecordingError: They cannot be had.
    """
    scenes: deque[Scene] = deque(maxlen=_MOST_SCENES)
    before: Reading | None = None
    number, begun = 0, time.monotonic()
    async for reading in readings:
        scenes.extend(changes(before, reading))
        before = reading
        number += 1
        if number % _A_FEW == 0:
            await asyncio.sleep(_REST * (time.monotonic() - begun))
            begun = time.monotonic()
    return tuple(scenes)
