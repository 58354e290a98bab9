"""Running the cycle over readings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Outcome
from remediator.core.model import Mode, Moment
from remediator.core.plan import Objection
from remediator.core.policy import Policy
from remediator.core.reading import Reading, fingerprint, reading_of
from remediator.core.service import Service
from remediator.core.turn import Turn
from remediator.cycle import Cycle
from remediator.memory import MemoryLedger
from remediator.recurrence import window_at
from remediator.replay.asrecorded import AsRecorded
from remediator.replay.hindsight import Deed, Hindsight, book
from remediator.replay.past import Past, PastClock, PastDatabase, PastTimekeeper, runtimes_of

_EVER = timedelta.max
# The clocks of one machine are not quite the same, and outcomes are dated by the wall clock.
_SAME = timedelta(seconds=1)


def _passed(before: Moment, after: Moment) -> timedelta:
    wall, steady = after.at - before.at, after.steady - before.steady
    return wall if abs(wall - steady) < _SAME else steady


@dataclass(frozen=True, slots=True)
class Script:
    """What there is to be replayed.

    Attributes:
        readings: Of all databases, oldest first.
        incidents: Of that time and before.
        entries: What was done then and before.
        policies: The policies to be tried, by database; others' readings are left out.
        services: Every service of the config to be tried.
    """

    readings: Sequence[Reading]
    incidents: Sequence[Incident]
    entries: Sequence[Entry]
    policies: Mapping[str, Policy]
    services: Mapping[str, Service]
    mode: Mode


@dataclass(frozen=True, slots=True)
class Rerun:
    """What would have come of it.

    Attributes:
        before: What was recorded, without what had to be left out at the beginning.
        after: The same cycles by the other policies, one for one.
        entries: What these would have done.
    """

    before: tuple[Reading, ...]
    after: tuple[Reading, ...]
    entries: tuple[Entry, ...]


async def rerun(script: Script) -> Rerun:
    """Run the script's policies over its readings."""
    readings = list(_from_calm(r for r in script.readings if r.database in script.policies))
    if not readings:
        return Rerun((), (), ())
    return await _Stage(script, readings).play()


def _from_calm(readings: Iterator[Reading]) -> Iterator[Reading]:
    """Leave out of each database what was in the middle of an incident when the recording begins."""
    calm: set[str] = set()
    for reading in readings:
        if reading.incident is None or reading.incident.opened_at >= reading.at:
            calm.add(reading.database)
        if reading.database in calm:
            yield reading


class _Quiet:
    """Nobody is told."""

    def emit(self, event: Event, **fields: object) -> None:
        """Take no note."""


@dataclass(slots=True)
class _Stage:
    script: Script
    readings: list[Reading]
    store: MemoryLedger = field(default_factory=MemoryLedger)
    after: list[Reading] = field(default_factory=list)
    _pasts: dict[str, Past] = field(default_factory=dict)
    _cycles: dict[str, tuple[str, Cycle]] = field(default_factory=dict)
    _marks: dict[str, str] = field(default_factory=dict)
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _locks: frozenset[str] = frozenset()
    _reading: Reading | None = None

    async def play(self) -> Rerun:
        known = set(self._remember())
        deeds = book(self.script.entries)
        self._marks = {name: fingerprint(policy) for name, policy in self.script.policies.items()}
        for reading, length in zip(self.readings, self._lengths(), strict=True):
            past = self._pasts.setdefault(reading.database, Past(reading, length))
            past.go_to(reading, length)
            await self._obey(reading)
            await self._cycle(reading, past, deeds).run(reading.sample.moment)
        entries = (entry for number, entry in self.store.entries.items() if number not in known)
        return Rerun(tuple(self.readings), tuple(self.after), tuple(entries))

    def _remember(self) -> Iterator[int]:
        """Begin with what had been done until then; what was open then is taken for settled."""
        begin = self.readings[0].sample.moment
        entries = [e for e in self.script.entries if e.intent.counted_at < begin.steady]
        wanted = {entry.intent.incident for entry in entries}
        incidents = (replace(i, closed_at=i.closed_at or begin.at) for i in self.script.incidents)
        self.store.remember([i for i in incidents if i.id in wanted], entries)
        return (entry.id for entry in entries)

    def _lengths(self) -> list[timedelta]:
        """How long after each reading its database was seen next, by the wall clock if it was not set."""
        following: dict[str, Moment] = {}
        lengths: list[timedelta] = []
        for reading in reversed(self.readings):
            moment = reading.sample.moment
            after = following.get(reading.database)
            lengths.append(_EVER if after is None else _passed(moment, after))
            following[reading.database] = moment
        return lengths[::-1]

    async def _obey(self, reading: Reading) -> None:
        """Put in force what people had ordered by then, and what befell the ledger."""
        held = reading.plan is not None and Objection.LEDGER_UNAVAILABLE in reading.plan.objections
        self.store.broken = None
        if reading.orders is not None:
            if reading.orders.pause is None:
                await self.store.resume()
            else:
                await self.store.pause(reading.orders.pause)
            locks = frozenset(lock.scope for lock in reading.orders.locks)
            if self._locks - locks:
                await self.store.acknowledge()
            self._locks = locks
        self.store.broken = reading.plan.detail if held and reading.plan else None

    def _cycle(self, reading: Reading, past: Past, deeds: Mapping[Deed, Outcome | None]) -> Cycle:
        name = reading.database
        self._reading = reading
        run, cycle = self._cycles.get(name, ("", None))
        if cycle is None or run != reading.run:  # another life of the daemon
            cycle = self._new_cycle(name, past, deeds)
            self._cycles[name] = reading.run, cycle
        return cycle

    def _new_cycle(self, name: str, past: Past, deeds: Mapping[Deed, Outcome | None]) -> Cycle:
        return Cycle(
            database=PastDatabase(name, past),
            policy=self.script.policies[name],
            services=self.script.services,
            runtimes=runtimes_of(self.script.services, past),
            store=self.store,
            observer=_Quiet(),
            clock=PastClock(past),
            mode=self.script.mode,
            deciding=self._deciding,
            timekeeper=PastTimekeeper(self.store, _Quiet()),
            windows=window_at,
            attributor=AsRecorded(),
            follower=self,
            verifier=partial(Hindsight, past=past, deeds=deeds),
        )

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Keep what a replayed cycle came to."""
        assert self._reading is not None  # noqa: S101  cycles run only for a reading
        made = reading_of(database, policy, self._marks[database], turn, self.script.mode, self._reading.run)
        self.after.append(made)
