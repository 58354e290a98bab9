"""A world in memory around one or more cycles, in which time passes only when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from remediator.adapters.dryrun import DryRunDatabase, DryRunRuntime
from remediator.core.events import Event
from remediator.core.ledger import Entry
from remediator.core.model import Mode
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.policy import (
    Policy,
    RestartService,
    TerminateIdle,
)
from remediator.core.service import Service, Verification
from remediator.core.turn import Turn
from remediator.cycle import Attributor, Cycle, Timekeeper
from remediator.ports import Database, Follower, LedgerStore, Runtime
from remediator.recurrence import window_at
from remediator.testing import FakeClock, FakeDatabase, FakeRuntime
from remediator.testing.ledger import MemoryLedger
from tests.builders import make_policy

USABLE = 97
FULL = 96
HALF = USABLE // 2
PACE = 5.0
SETTLE = timedelta(seconds=15)
RETRY = timedelta(minutes=5)
STEADY = timedelta(seconds=10)
OLD = timedelta(minutes=20)
TERMINATE = TerminateIdle(timedelta(minutes=10))
RESTART = RestartService("celery")


@dataclass
class Told:
    """An observer that remembers."""

    lines: list[tuple[Event, dict[str, Any]]] = field(default_factory=list)

    def emit(self, event: Event, **fields: object) -> None:
        """Remember an event."""
        self.lines.append((event, fields))

    def of(self, event: Event) -> list[dict[str, Any]]:
        """The fields of each time an event was told."""
        return [fields for told, fields in self.lines if told is event]

    def names(self, *, apart_from: Iterable[Event] = (Event.CYCLE, Event.PLAN_MADE)) -> list[str]:
        """The names of all events in order."""
        return [event.event_name for event, _ in self.lines if event not in set(apart_from)]


class World:
    """Databases, services, a ledger and cycles over them.

    Args:
        policy: The same for every database.
        databases: Their names.
        services: Names and numbers of replicas.
        mode: Whether the cycles act.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        databases: tuple[str, ...] = ("shop",),
        services: dict[str, int] | None = None,
        mode: Mode = Mode.ENFORCE,
    ) -> None:
        self.policy = policy or make_policy()
        self.mode = mode
        self.clock = FakeClock()
        self.databases = {name: FakeDatabase(self.clock, name) for name in databases}
        self.runtimes = {
            name: FakeRuntime(name, replicas, clock=self.clock, takes=timedelta(0))
            for name, replicas in (services or {"celery": 1, "api": 1}).items()
        }
        self.store: MemoryLedger = MemoryLedger()
        self.told = Told()
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens in the world before each turn."""
        self.deciding = asyncio.Lock()
        self.follower: Follower | None = None
        self.attributor: Attributor | None = None
        self.cycles = self.fresh_cycles()

    @property
    def database(self) -> FakeDatabase:
        """The only database, or the first one."""
        return next(iter(self.databases.values()))

    @property
    def restarted(self) -> list[str]:
        """Replicas that were really restarted."""
        return [name for runtime in self.runtimes.values() for name in runtime.restarted]

    @property
    def entries(self) -> list[Entry]:
        """The ledger's entries in order."""
        return list(self.store.entries.values())

    def fresh_cycles(self, store: LedgerStore | None = None) -> list[Cycle]:
        """Cycles as a new process would make them; they become this world's."""
        simulating = self.mode is Mode.DRY_RUN
        runtimes: dict[str, Runtime] = {
            name: DryRunRuntime(runtime) if simulating else runtime for name, runtime in self.runtimes.items()
        }

        def seen(database: FakeDatabase) -> Database:
            return DryRunDatabase(database) if simulating else database

        timekeeper = Timekeeper(store or self.store, self.told)
        verification = Verification(within=timedelta(seconds=90), steady_for=STEADY)
        self.cycles = [
            Cycle(
                database=seen(database),
                policy=self.policy,
                services={name: Service(name, verification) for name in self.runtimes},
                runtimes=runtimes,
                store=store or self.store,
                observer=self.told,
                clock=self.clock,
                windows=window_at,
                mode=self.mode,
                deciding=self.deciding,
                timekeeper=timekeeper,
                follower=self.follower,
                attributor=self.attributor,
            )
            for database in self.databases.values()
        ]
        return self.cycles

    def fill(self, to: int = FULL, *, application: str = "celery", age: timedelta = OLD) -> None:
        """Open idle sessions until so many slots are used, and let them grow old."""
        for database in self.databases.values():
            for _ in range(to - self.used(database)):
                database.open(application=application)
        self.clock.advance(age)

    def leak(self, to: int = FULL) -> None:
        """Open young idle sessions until so many slots are used; what `meanwhile` is for."""
        for database in self.databases.values():
            for _ in range(to - self.used(database)):
                database.open(application="celery")

    def leak_old(self) -> None:
        """Let sessions come back at once that are old enough with the next call; for `meanwhile`, too."""
        for session in list(self.database._sessions.values()):  # noqa: SLF001  there is no other way to age some
            if not session.own and session.state_change is not None:
                session.state_change -= timedelta(minutes=11)
        self.leak()

    def used(self, database: FakeDatabase | None = None) -> int:
        """Used slots of a database."""
        database = database or self.database
        return database._slots().used  # noqa: SLF001  the fake's own count

    async def turn(self, after: float = PACE) -> Turn:
        """Let time pass, then go through one cycle of each database at once; the first one's is returned."""
        self.clock.advance(after)
        self.meanwhile()
        moment = self.clock.now()
        turns = await asyncio.gather(*(cycle.run(moment) for cycle in self.cycles))
        await breathe()
        return turns[0]

    async def turns(self, number: int) -> Turn:
        """Take so many turns; the last one is returned."""
        for _ in range(number - 1):
            await self.turn()
        return await self.turn()

    async def turns_until(
        self, condition: Callable[[Turn], bool], *, within: timedelta = timedelta(hours=2)
    ) -> Turn:
        """Take turns until one fulfils the condition.

        Raises:
            AssertionError: None did within this time of the fake clock.
        """
        end = self.clock.now().mono + within.total_seconds()
        while self.clock.now().mono < end:
            turn = await self.turn()
            if condition(turn):
                return turn
        raise AssertionError(f"did not come about; told so far: {self.told.names()}")

    async def told_of(self, event: Event, times: int = 1, *, within: timedelta = timedelta(hours=2)) -> Turn:
        """Take turns until an event has been told so often."""
        return await self.turns_until(lambda _: len(self.told.of(event)) >= times, within=within)

    def outcomes(self) -> list[tuple[str, str | None]]:
        """What was done, restarts by replica and terminations as one word, with results."""
        return [(_what(e), e.outcome.result.value if e.outcome else None) for e in self.entries]


async def breathe() -> None:
    """Let tasks that wait for nothing come to their end."""
    for _ in range(10):
        await asyncio.sleep(0)


def _what(entry: Entry) -> str:
    match entry.intent.action:
        case TerminateSession():
            return "terminate"
        case RestartReplica(replica):
            return replica.name
