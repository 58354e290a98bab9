"""What goes wrong at the daemon's awaits: slowness, no answer, answers that get lost, death, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from remediator.core.clock import ClockMark
from remediator.core.ledger import Entry, Incident, Intent, Ledger, Lock, Outcome, Pause
from remediator.core.model import (
    Moment,
    Replica,
    Sample,
    Session,
    SessionId,
)
from remediator.core.trouble import Trouble, TroubleKind
from remediator.errors import LedgerError, UnavailableError
from remediator.ports import NO_STARTS, LedgerStore, Receipt, Runtime
from tests.simulation.world import SimDatabase

_T = TypeVar("_T")
_LOST = Trouble(TroubleKind.TIMEOUT, "no answer in time")
_LEDGER_DEADLINE = 5.0


@dataclass(slots=True)
class Weather:
    """How likely what is at each await; it changes with time.

    Attributes:
        slow: An answer takes up to `slowest` seconds.
        lost: A neighbour gives no answer, before or after it did what it was asked.
        ledger: The ledger cannot be used.
        late: A write to the ledger outlasts its deadline, and is done later.
        death: The process dies.
    """

    slow: float = 0.0
    slowest: float = 5.0
    lost: float = 0.0
    ledger: float = 0.0
    late: float = 0.0
    death: float = 0.0

    def clear_up(self) -> None:
        """Make everything work."""
        self.slow = self.lost = self.ledger = self.late = self.death = 0.0


@dataclass(slots=True)
class Life:
    """One process of the daemon. Once it is over, whatever it awaits never comes.

    Attributes:
        weather: What goes wrong.
        chance: Decides when.
        died: Set when the process is dead, whoever killed it.
        frozen_until: The loop's time before which the process, suspended, does nothing.
        tasks: Everything that runs in this process.
    """

    weather: Weather
    chance: Random
    died: asyncio.Event = field(default_factory=asyncio.Event)
    frozen_until: float = 0.0
    tasks: set[asyncio.Task[object]] = field(default_factory=set)

    def die(self) -> None:
        """End at once, without a word."""
        self.died.set()

    async def point(self) -> None:
        """Pass an await at which anything may happen."""
        if self.died.is_set():
            await _never()
        weather = self.weather
        roll = self.chance.random()
        if roll < weather.death:
            self.die()
            await _never()
        if roll < weather.death + weather.slow:
            await asyncio.sleep(self.chance.uniform(0.0, weather.slowest))
        elif roll > 0.9:
            await asyncio.sleep(0)
        if self.frozen_until or self.died.is_set():
            await self.thaw()

    async def thaw(self) -> None:
        """Wait while the process is suspended; for ever when it is dead."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self.frozen_until > now:
            await asyncio.sleep(self.frozen_until - now)
            now = loop.time()
        if self.died.is_set():
            await _never()

    def unlucky(self, odds: float) -> bool:
        """Draw."""
        return odds > 0 and self.chance.random() < odds


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class FaultyDatabase:
    """A database at the end of an unreliable wire.

    Attributes:
        inner: The database.
        life: The process that asks.
        seen: Told of each sample as the process gets it.
        looked: Told of each sample the moment it is taken.
    """

    inner: SimDatabase
    life: Life
    seen: Callable[[str, Sample], None]
    looked: Callable[[str, Sample], None]

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self.inner.name

    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        """Read a sample, or trouble."""
        await self.life.point()
        sample = await self.inner.sample(moment, starts)
        self.looked(self.name, sample)
        await self.life.point()
        if self.life.unlucky(self.life.weather.lost):
            sample = Sample(moment, probe=sample.probe, trouble=_LOST)
        self.seen(self.name, sample)
        return sample

    def count_by(self, cutoffs: tuple[timedelta, ...]) -> None:
        """Count idle sessions by other ages from now on."""
        self.inner.count_by(cutoffs)

    async def sessions(self) -> tuple[Session, ...]:
        """Read every session, or nothing."""
        return await self._ask(self.inner.sessions)

    async def terminate(self, sessions: Sequence[Session], older_than: timedelta) -> tuple[Receipt, ...]:
        """Terminate one by one, while the world goes on; a lost connection leaves the rest unknown."""
        receipts: list[Receipt] = []
        for session in sessions:
            await self.life.point()
            if self.life.unlucky(self.life.weather.lost / 4):
                break
            receipts += await self.inner.terminate([session], older_than)
            await self.life.point()
            if self.life.unlucky(self.life.weather.lost / 4):
                receipts.pop()
                break
        return (*receipts, *[Receipt.UNKNOWN] * (len(sessions) - len(receipts)))

    async def may_act(self) -> bool:
        """Ask for the right to act; without an answer it is not certain."""
        try:
            return await self._ask(self.inner.may_act)
        except UnavailableError:
            return False

    async def alive(self, ids: Sequence[SessionId], patience: timedelta) -> frozenset[SessionId]:
        """Look which sessions exist, or nothing."""
        return await self._ask(lambda: self.inner.alive(ids, patience))

    async def close(self) -> None:
        """Close the connection."""
        await self.inner.close()

    async def _ask(self, question: Callable[[], Awaitable[_T]]) -> _T:
        await self.life.point()
        answer = await question()
        await self.life.point()
        if self.life.unlucky(self.life.weather.lost):
            raise UnavailableError(_LOST.detail)
        return answer


@dataclass(slots=True)
class FaultyRuntime:
    """A runtime whose requests or answers may be lost."""

    inner: Runtime
    life: Life

    async def replicas(self) -> tuple[Replica, ...]:
        """Read every replica, or nothing."""
        await self.life.point()
        found = await self.inner.replicas()
        await self.life.point()
        if self.life.unlucky(self.life.weather.lost):
            raise UnavailableError("the engine gave no answer in time")
        return found

    async def restart(self, replica: Replica) -> Receipt:
        """Restart one replica; the request or the answer may be lost."""
        task = asyncio.current_task()
        if task is not None:
            self.life.tasks.add(task)
            task.add_done_callback(self.life.tasks.discard)
        await self.life.point()
        if self.life.unlucky(self.life.weather.lost):
            raise UnavailableError("the engine could not be reached")
        receipt = await self.inner.restart(replica)
        await self.life.point()
        if self.life.unlucky(self.life.weather.lost):
            raise UnavailableError("the engine's answer was lost")
        return receipt


class FaultyStore:
    """A ledger on a disk that may be full, slow, or answer too late.

    Args:
        inner: The ledger.
        life: The process whose ledger this is.
        linger: Runs what is done too late.
    """

    def __init__(self, inner: LedgerStore, life: Life, linger: Callable[[Awaitable[object]], None]) -> None:
        self._inner = inner
        self._life = life
        self._linger = linger
        self._overdue = False

    async def load(self, since: datetime) -> Ledger:
        """Read what matters now."""
        return await self._do(lambda: self._inner.load(since))

    async def history(
        self, since: datetime, newest: int | None = None, also: str = ""
    ) -> tuple[tuple[Incident, ...], tuple[Entry, ...]]:
        """Read what was."""
        return await self._do(lambda: self._inner.history(since, newest, also))

    async def clock(self) -> ClockMark | None:
        """Read where all clocks stood."""
        return await self._do(self._inner.clock)

    async def keep_clock(self, mark: ClockMark) -> None:
        """Record where all clocks stand."""
        await self._do(lambda: self._inner.keep_clock(mark))

    async def check(self) -> None:
        """Make sure that a record could be made."""
        await self._do(self._inner.check)

    async def save_incident(self, incident: Incident) -> None:
        """Insert or update an incident."""
        await self._do(lambda: self._inner.save_incident(incident))

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record an incident's new state and intents."""
        return await self._do(lambda: self._inner.intend(incident, intents))

    async def conclude(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Record outcomes."""
        await self._do(lambda: self._inner.conclude(outcomes))

    async def lock(self, lock: Lock) -> None:
        """Record a lock."""
        await self._do(lambda: self._inner.lock(lock))

    async def pause(self, pause: Pause) -> None:
        """Record a pause."""
        await self._do(lambda: self._inner.pause(pause))

    async def resume(self) -> bool:
        """Remove the pause."""
        return await self._do(self._inner.resume)

    async def acknowledge(self) -> tuple[Lock, ...]:
        """Remove all locks."""
        return await self._do(self._inner.acknowledge)

    async def prune(self, before: datetime) -> int:
        """Forget what is old."""
        return await self._do(lambda: self._inner.prune(before))

    async def close(self) -> None:
        """Let go of it."""
        await self._inner.close()

    async def _do(self, work: Callable[[], Awaitable[_T]]) -> _T:
        weather = self._life.weather
        await self._life.point()
        if self._overdue:
            raise LedgerError("the disk still has not answered an earlier request")
        if self._life.unlucky(weather.late):
            self._overdue = True
            self._linger(self._later(work))
            await asyncio.sleep(_LEDGER_DEADLINE)
            await self._life.thaw()
            raise LedgerError("the disk did not answer within 5 s")
        if self._life.unlucky(weather.ledger):
            raise LedgerError("the disk is full")
        result = await work()
        await self._life.point()
        if self._life.unlucky(weather.ledger / 4):
            raise LedgerError("the disk did not say whether it wrote")
        return result

    async def _later(self, work: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(_LEDGER_DEADLINE + self._life.chance.uniform(0.0, 60.0))
        if not self._life.died.is_set():
            await work()
        self._overdue = False
