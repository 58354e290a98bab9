"""A recording in memory, for tests of what fills one or reads one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from remediator.core.reading import Decision, Reading, fingerprint, reading_of
from remediator.core.story import another_plan
from remediator.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from remediator.core.deposition import Deposition
    from remediator.core.model import Mode
    from remediator.core.policy import Policy
    from remediator.core.turn import Turn

_AROUND = timedelta(minutes=10)


class MemoryRecording:
    """Keeps every reading as long as the process lives; otherwise like the real one.

    Implements `Follower` and `Recording`.

    Attributes:
        broken: While set, reading raises `RecordingError` with this message.
        kept: All readings, in order.
        told: What was learned before restarts, in order.
        run: Which life of the daemon it is.
    """

    def __init__(self, mode: Mode, run: str) -> None:
        self.broken: str | None = None
        self.kept: list[Reading] = []
        self.told: list[Deposition] = []
        self.damaged = 0
        self._mode = mode
        self.run = run

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Keep a reading of a completed cycle."""
        self.kept.append(reading_of(database, policy, fingerprint(policy), turn, self._mode, self.run))

    async def readings(
        self, database: str, since: datetime, until: datetime, points: int | None = None
    ) -> tuple[Reading, ...]:
        """Read what was seen, oldest first, without surveys and plans."""
        found = [replace(r, survey=None, plan=None) async for r in self.whole(database, since, until)]
        if points is None:
            return tuple(found)
        width = (until - since) / max(1, points)
        fullest: dict[int, Reading] = {}
        for reading in found:
            place = (reading.at - since) // width
            if place not in fullest or _used(reading) > _used(fullest[place]):
                fullest[place] = reading
        return tuple(fullest.values())

    async def whole(self, database: str, since: datetime, until: datetime) -> AsyncIterator[Reading]:
        """Read everything that was kept, oldest first."""
        if self.broken is not None:
            raise RecordingError(self.broken)
        found = (r for r in self.kept if r.database == database and since <= r.at < until)
        for reading in sorted(found, key=lambda reading: reading.sample.moment.steady):
            yield reading

    def diagnosed(self, deposition: Deposition) -> None:
        """Keep what was learned right before a restart."""
        self.told.append(deposition)

    async def depositions(self, replica: str, since: datetime, until: datetime) -> tuple[Deposition, ...]:
        """Read what was learned of a replica right before it was restarted, oldest first."""
        if self.broken is not None:
            raise RecordingError(self.broken)
        return tuple(t for t in self.told if t.id == replica and since <= t.at < until)

    async def story(self, incident: str, *, surveys: bool = True) -> AsyncIterator[Reading]:
        """Read everything that was kept of an incident, and from shortly before and after."""
        own = [r for r in self.kept if r.incident is not None and r.incident.id == incident]
        if not own:
            return
        plan: Decision | None = None
        since, until = own[0].at - _AROUND, own[-1].at + _AROUND + timedelta(microseconds=1)
        async for reading in self.whole(own[0].database, since, until):
            if reading.incident is None or reading.incident.id == incident:
                wanted = surveys and another_plan(plan, reading.plan)
                plan = reading.plan
                yield reading if wanted else replace(reading, survey=None)

    async def close(self) -> None:
        """Nothing to let go of."""


def _used(reading: Reading) -> int:
    slots = reading.sample.slots
    return slots.used if slots is not None else 0
