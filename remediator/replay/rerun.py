"""Running the cycle over readings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident
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
from remediator.replay.hindsight import Hindsight, book
from remediator.replay.order import in_order
from remediator.replay.past import Past, PastClock, PastDatabase, PastTimekeeper, runtimes_of


@dataclass(frozen=True, slots=True)
class Script:
    """What there is to be replayed.

    Attributes:
        readings: Of each database, oldest first; read once, and not kept.
        incidents: Of that time and before.
        entries: What was done then and before.
        policies: The policies to be tried, by database; others' readings are left out.
        services: Every service of the config to be tried.
    """

    readings: Sequence[AsyncIterable[Reading]]
    incidents: Sequence[Incident]
    entries: Sequence[Entry]
    policies: Mapping[str, Policy]
    services: Mapping[str, Service]
    mode: Mode


class _Quiet:
    """Nobody is told."""

    def emit(self, event: Event, **fields: object) -> None:
        """Take no note."""


class Rerun:
    """Runs the script's policies over its readings.

    Args:
        script: What there is to be replayed.

    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._store = MemoryLedger()
        self._known: frozenset[int] = frozenset()
        self._deeds = book(script.entries)
        self._marks = {name: fingerprint(policy) for name, policy in script.policies.items()}
        self._pasts: dict[str, Past] = {}
        self._cycles: dict[str, tuple[str, Cycle]] = {}
        self._deciding = asyncio.Lock()
        self._locks: frozenset[str] = frozenset()
        self._run = ""
        self._made: Reading | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What these policies would have done so far."""
        return tuple(e for number, e in self._store.entries.items() if number not in self._known)

    async def play(self) -> AsyncIterator[tuple[Reading, Reading]]:
        """Go through it once: each reading, and what the same cycle comes to by the other policy.

        What had been left in the middle of an incident when the recording begins is left out.

        Raises:
            RecordingError: A reading cannot be had.
        """
        begun = False
        async for reading, length in in_order([_from_calm(r) for r in self._script.readings]):
            if reading.database not in self._script.policies:
                continue
            if not begun:
                begun = True
                self._known = frozenset(self._remember(reading.sample.moment))
            yield reading, await self._again(reading, length)

    async def _again(self, reading: Reading, length: timedelta) -> Reading:
        own = reading.fingerprint == self._marks[reading.database]
        past = self._pasts.setdefault(reading.database, Past(reading, length, own))
        past.go_to(reading, length, own=own)
        await self._obey(reading)
        await self._cycle(reading, past).run(reading.sample.moment)
        if self._made is None:
            raise AssertionError("a cycle was not completed")
        made, self._made = self._made, None
        return made

    def _remember(self, begin: Moment) -> Iterator[int]:
        """Begin with what had been done until then; what was open then is taken for settled."""
        entries = [e for e in self._script.entries if e.intent.counted_at < begin.steady]
        wanted = {entry.intent.incident for entry in entries}
        incidents = (replace(i, closed_at=i.closed_at or begin.at) for i in self._script.incidents)
        self._store.remember([i for i in incidents if i.id in wanted], entries)
        return (entry.id for entry in entries)

    async def _obey(self, reading: Reading) -> None:
        """Put in force what people had ordered by then, and what befell the ledger."""
        held = reading.plan is not None and Objection.LEDGER_UNAVAILABLE in reading.plan.objections
        self._store.broken = None
        if reading.orders is not None:
            if reading.orders.pause is None:
                await self._store.resume()
            else:
                await self._store.pause(reading.orders.pause)
            locks = frozenset(lock.scope for lock in reading.orders.locks)
            if self._locks - locks:
                await self._store.acknowledge()
            self._locks = locks
        self._store.broken = reading.plan.detail if held and reading.plan else None

    def _cycle(self, reading: Reading, past: Past) -> Cycle:
        name = reading.database
        self._run = reading.run
        run, cycle = self._cycles.get(name, ("", None))
        if cycle is None or run != reading.run:  # another life of the daemon
            cycle = self._new_cycle(name, past)
            self._cycles[name] = reading.run, cycle
        return cycle

    def _new_cycle(self, name: str, past: Past) -> Cycle:
        return Cycle(
            database=PastDatabase(name, past),
            policy=self._script.policies[name],
            services=self._script.services,
            runtimes=runtimes_of(self._script.services, past),
            store=self._store,
            observer=_Quiet(),
            clock=PastClock(past),
            mode=self._script.mode,
            deciding=self._deciding,
            timekeeper=PastTimekeeper(self._store, _Quiet()),
            windows=window_at,
            attributor=AsRecorded(),
            follower=self,
            verifier=partial(Hindsight, past=past, deeds=self._deeds),
        )

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Take note of what a replayed cycle came to."""
        mark, mode = self._marks[database], self._script.mode
        self._made = reading_of(database, policy, mark, turn, mode, self._run)


async def _from_calm(readings: AsyncIterable[Reading]) -> AsyncIterator[Reading]:
    """Leave out of one database what was in the middle of an incident when the recording begins."""
    calm = False
    async for reading in readings:
        calm = calm or reading.incident is None or reading.incident.opened_at >= reading.at
        if calm:
            yield reading
