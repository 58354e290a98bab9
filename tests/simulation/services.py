"""Services that hold sessions, leak them, get well by a restart or not, and do not always tell the truth."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from remediator.core.model import Exempt, Health, Replica, ReplicaState
from remediator.testing import FakeSession, Reaction
from tests.simulation.scenery import ServiceScene
from tests.simulation.trace import Trace
from tests.simulation.world import Holder, SimDatabase, SimRuntime

_REACTIONS = (
    (Reaction.COMPLY, 70.0),
    (Reaction.CRASH_LOOP, 5.0),
    (Reaction.STAY_DOWN, 4.0),
    (Reaction.STAY_UNHEALTHY, 5.0),
    (Reaction.HANG, 5.0),
    (Reaction.ANSWER_LOST, 6.0),
    (Reaction.REJECT, 3.0),
    (Reaction.VANISH, 2.0),
)
_TICK = 60.0
_STRETCH = 30.0
_CLEARLY = timedelta(
    seconds=3
)  # between two clocks, a session from just before a start may pass for a later one
_LEAKED = ("idle",) * 16 + ("transaction", "lock", "listen", "spared")


@dataclass(slots=True)
class Pool:
    """The sessions of one replica in one database: some in use, some leaked, some in a rush."""

    database: SimDatabase
    replica: str
    baseline: int
    used: list[FakeSession] = field(default_factory=list)
    leaked: list[FakeSession] = field(default_factory=list)
    rushing: list[FakeSession] = field(default_factory=list)
    _departures: int = 0

    def close(self) -> None:
        """The process is gone, and its sessions with it."""
        for session in (*self.used, *self.leaked, *self.rushing):
            self.database.leave(session)
        self.used.clear()
        self.leaked.clear()
        self.rushing.clear()

    def abandon(self, before: datetime, at: float) -> list[FakeSession]:
        """The process is gone without a word: the server keeps those leaked sessions that began before."""
        self.look()
        left = [session for session in self.leaked if session.id.backend_start < before]
        self.leaked = [session for session in self.leaked if session.id.backend_start >= before]
        for session in left:
            self.database.holders[session] = self.database.holders[session]._replace(left_at=at)
        self.close()
        return left

    def look(self) -> None:
        """Notice which sessions are gone."""
        if self.database.departures != self._departures:
            self._departures = self.database.departures
            self.used = self.database.those_left(self.used)
            self.leaked = self.database.those_left(self.leaked)
            self.rushing = self.database.those_left(self.rushing)


class SimService:
    """One service: its replicas, what they hold, and how it feels.

    Attributes:
        leak: Sessions that each replica forgets in each database, a minute.
        cured: How likely a restart ends the leak.
        dies: How likely a replica dies some time after its restart.
        vanishes: How likely a process that ends leaves what it has leaked behind on the server.
    """

    def __init__(
        self,
        scene: ServiceScene,
        runtime: SimRuntime,
        databases: dict[str, SimDatabase],
        chance: Random,
        hurry: Random,
        trace: Trace,
    ) -> None:
        self.scene = scene
        self.runtime = runtime
        self.leak = 0.0
        self.cured = 0.5
        self.dies = 0.0
        self.vanishes = 0.0
        self._chance = chance
        self._hurry = hurry
        self._abandoned: list[tuple[SimDatabase, FakeSession]] = []
        self._trace = trace
        self._owed = 0.0
        self._starts: dict[str, str] = {}
        self._pools = [
            Pool(databases[name], f"{scene.name}-{number}", max(1, databases[name].max_connections // 60))
            for name in scene.databases
            for number in range(1, scene.replicas + 1)
        ]
        for number in range(1, scene.replicas + 1):
            runtime.deploy(number, checked=scene.checked)

    async def live(self) -> None:
        """Go about its business for ever."""
        self.sync()
        while True:
            passed = self._chance.uniform(0.3, 1.7) * (_TICK if self.leak else 3 * _TICK)
            await asyncio.sleep(passed)
            self.sync()
            self._owed += self.leak * passed / 60
            forgotten, self._owed = divmod(self._owed, 1.0)
            for pool in self._pools:
                if self._up(pool.replica) and pool.database.trouble is None:
                    self._work(pool, int(forgotten))

    async def feel(self) -> None:
        """Change moods for ever."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / (8 * 3600)))
            self.sicken()
            await asyncio.sleep(self._chance.expovariate(1 / 3600))
            self.leak = 0.0
            if self._chance.random() < 0.3:  # until somebody has had enough of it
                await asyncio.sleep(self._chance.expovariate(1 / (2 * 3600)))
            self.release()

    def sicken(self) -> None:
        """Begin to leak, so that a database is full after minutes or hours; restarts may go wrong."""
        chance = self._chance
        size = max(pool.database.max_connections for pool in self._pools)
        self.leak = size / self.scene.replicas / chance.choice((3.0, 15.0, 60.0, 180.0))
        self.cured = chance.choice((0.0, 0.5, 1.0))
        self.dies = chance.choice((0.0, 0.0, 0.3))
        self.vanishes = self._hurry.choice((0.0, 0.5, 1.0))
        self.runtime.pretends = chance.choice((0.0, 0.0, 0.1))
        self.runtime.stop_takes = (0.1, chance.choice((1.0, 10.0, 60.0, 200.0)))
        kinds, weights = zip(*_REACTIONS, strict=True)
        self.runtime.reactions = kinds, (weights if chance.random() < 0.6 else (1.0, *[0.0] * 7))
        self._trace.note("leak", f"{self.scene.name} forgets {self.leak:.1f} a minute, cured {self.cured}")

    def heal(self) -> None:
        """Be well: nothing leaks, everything complies; what was leaked stays."""
        self.leak, self.dies, self.vanishes, self.runtime.pretends = 0.0, 0.0, 0.0, 0.0
        self._calm()
        self.runtime.available = True
        self.runtime.stop_takes = (0.1, 2.0)
        self.runtime.reactions = (Reaction.COMPLY,), (1.0,)
        self.repair()

    def release(self) -> None:
        """Give back all that was leaked."""
        for pool in self._pools:
            for session in pool.leaked:
                pool.database.leave(session)
            pool.leaked.clear()
        for database, session in self._abandoned:
            database.leave(session)
        self._abandoned.clear()

    async def rush(self) -> None:
        """Be busy now and then, and leak nothing by it, for ever."""
        loop, hurry = asyncio.get_running_loop(), self._hurry
        while True:
            await asyncio.sleep(hurry.expovariate(1 / (12 * 3600)))
            part, ends = hurry.choice((0.5, 0.8, 1.0)), loop.time() + hurry.expovariate(1 / 900)
            self._trace.note("rush", f"{self.scene.name}, {part} of what is free")
            for pool in self._pools:
                share = int(part * max(0, pool.database.free()) / self.scene.replicas)
                if self._up(pool.replica) and pool.database.trouble is None:
                    pool.rushing += [self._open(pool) for _ in range(share)]
            while loop.time() < ends:
                for pool in self._pools:
                    self._hurry_on(pool)
                await asyncio.sleep(_STRETCH)
            self._calm()

    def _hurry_on(self, pool: Pool) -> None:
        pool.look()
        for session in pool.rushing:
            busy = session.state == "active"
            if self._hurry.random() < (0.1 if busy else 0.9):
                (session.rest if busy else session.run)()
                pool.database.touch(session)

    def _calm(self) -> None:
        for pool in self._pools:
            for session in pool.rushing:
                pool.database.leave(session)
            pool.rushing.clear()

    def repair(self) -> None:
        """Deploy what does not run or is not well anew."""
        found = {r.name: r for r in self.runtime.look()}
        for number in range(1, self.scene.replicas + 1):
            replica = found.get(f"{self.scene.name}-{number}")
            well = replica is not None and replica.state is ReplicaState.RUNNING and replica.exempt is None
            if not well or (replica and (replica.restarts or replica.health is Health.UNHEALTHY)):
                self.deploy(number)

    def deploy(self, number: int) -> None:
        """Replace one replica."""
        self.runtime.deploy(number, checked=self.scene.checked)
        self._trace.note("deploy", f"{self.scene.name}-{number}")
        self.sync()

    async def maintain(self) -> None:
        """Repair, deploy, stop and pause replicas for ever, as people and machines do."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / (6 * 3600)))
            name = f"{self.scene.name}-{self._chance.randint(1, self.scene.replicas)}"
            match self._chance.choice(("repair", "repair", "deploy", "pause", "own", "engine")):
                case "repair":
                    self.repair()
                case "deploy":
                    self.runtime.exempt(name, Exempt.REPLACED)
                    await asyncio.sleep(self._chance.uniform(1, 40))
                    self.deploy(int(name.rpartition("-")[2]))
                case "pause" if any(r.name == name for r in self.runtime.look()):
                    self.runtime.change(name, state=ReplicaState.PAUSED)
                case "own":
                    self.runtime.exempt(name, self._chance.choice((Exempt.DATABASE, Exempt.OPTED_OUT, None)))
                case "engine":
                    self.runtime.available = False
                    await asyncio.sleep(self._chance.uniform(5, 3600))
                    self.runtime.available = True

    def restarted(self, name: str) -> None:
        """A replica is being restarted."""
        if self._chance.random() < self.cured:
            self.leak = 0.0
        if self._chance.random() < self.dies:
            after = self._chance.uniform(1, 120)
            asyncio.get_running_loop().call_later(after, self._die, name)
        asyncio.get_running_loop().call_soon(self.sync)

    def sync(self) -> None:
        """End the sessions of replicas that have stopped or been started anew."""
        there = {r.name: r for r in self.runtime.look() if r.state is ReplicaState.RUNNING}
        now = {name: replica.started for name, replica in there.items()}
        for pool in self._pools:
            held = pool.used or pool.leaked or pool.rushing
            if held and now.get(pool.replica) != self._starts.get(pool.replica):
                self._end(pool, there.get(pool.replica))
        self._starts = now

    def _end(self, pool: Pool, successor: Replica | None) -> None:
        if self.scene.vanishes and self._hurry.random() < self.vanishes:
            since = successor.started_at if successor else None
            before = pool.database.now() if since is None else since - _CLEARLY
            left = pool.abandon(before, asyncio.get_running_loop().time())
            self._abandoned += [(pool.database, session) for session in left]
        else:
            pool.close()

    def _die(self, name: str) -> None:
        if self._up(name):
            self.runtime.change(name, state=ReplicaState.EXITED)
            self._trace.note("death", name)
            self.sync()

    def _up(self, name: str) -> bool:
        return any(r.name == name and r.state is ReplicaState.RUNNING for r in self.runtime.look())

    def _work(self, pool: Pool, forgotten: int) -> None:
        """Use some sessions, open those that are missing, forget some."""
        chance = self._chance
        free = pool.database.free()
        pool.look()
        for session in pool.used:
            if chance.random() < 0.5:
                chance.choice((session.run, session.rest, session.rest, session.begin))()
                pool.database.touch(session)
        missing = min(free, max(0, pool.baseline - len(pool.used)))
        pool.used += [self._open(pool) for _ in range(missing)]
        for _ in range(min(free - missing, forgotten)):
            pool.leaked.append(self._forget(pool))
        if pool.leaked and chance.random() < 0.1:  # somebody finds a use for it after all
            session = chance.choice(pool.leaked)
            chance.choice((session.run, session.rest))()
            session.flips = chance.random() < 0.3
            pool.database.touch(session)

    def _open(self, pool: Pool) -> FakeSession:
        replica = next(r for r in self.runtime.look() if r.name == pool.replica)
        (address,) = replica.addresses
        session = pool.database.open(user="app", application=self.scene.name, address=address)
        pool.database.holders[session] = Holder(self.scene.name)
        return session

    def _forget(self, pool: Pool) -> FakeSession:
        session = self._open(pool)
        match self._chance.choice(_LEAKED):
            case "transaction":
                session.begin()
            case "lock":
                session.take_advisory_lock()
            case "listen":
                session.listen()
            case "spared":
                session.application = f"etl_{self.scene.name}"
        pool.database.touch(session)
        return session
