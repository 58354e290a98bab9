"""One simulation from its seed to its end: a time of trouble, a time of remedy, a time of peace."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from remediator.core.model import Mode
from remediator.ports import Database, Runtime
from tests.simulation.addresses import Addresses, SimDirectory
from tests.simulation.book import Violation
from tests.simulation.daemon import SimDaemon
from tests.simulation.faults import FaultyDatabase, FaultyRuntime, FaultyStore, Life, Weather
from tests.simulation.inspector import Inspector
from tests.simulation.options import Options
from tests.simulation.people import Operator, change_weather, set_clocks
from tests.simulation.rival import Rival
from tests.simulation.scenery import draw_scenery, read_config
from tests.simulation.servers import Fortune
from tests.simulation.services import SimService
from tests.simulation.trace import Trace
from tests.simulation.virtual import MachineClock, TrueClock, VirtualLoop
from tests.simulation.world import SimDatabase, SimRuntime, Tell

_HOUR = 3600.0
_REMEDY = 2 * _HOUR
_PEACE = 0.5 * _HOUR


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a simulation.

    Attributes:
        violation: The invariant that did not hold, None when all did.
        digest: Of everything that happened.
        tail: The last events.
        counts: How often what happened.
        days: Simulated days.
        cost: Seconds of CPU that it took.
    """

    options: Options
    violation: Violation | None
    digest: str
    tail: tuple[str, ...]
    counts: Counter[str]
    days: float
    cost: float

    @property
    def line(self) -> str:
        """The report in one line."""
        counts = self.counts
        figures = (
            f"{counts['cycle']} cycles, {counts['terminated']} terminated, {counts['restarted']} restarted"
        )
        verdict = self.violation.rule if self.violation else "held"
        return f"seed {self.options.seed}: {self.days:.2f} days, {figures}, {self.digest}: {verdict}"

    @property
    def story(self) -> str:
        """The report for a person who wants to know why it failed."""
        forward = "" if self.options.forward else ' ARGS="--no-forward"'
        again = f"make simulate SEED={self.options.seed} DAYS={self.options.days:g}{forward}"
        return "\n".join((*self.tail, f"{self.violation}", f"again: {again}"))


def simulate(options: Options) -> Report:
    """Run one simulation."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_exception_handler(lambda *_: None)  # what the dead leave behind
        return runner.run(_Simulation(options).run())


class _Simulation:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._faults = options.chance("faults")
        self._people = options.chance("people")
        self._end = asyncio.Event()
        self._violation: Violation | None = None
        self._nature: list[asyncio.Task[None]] = []
        self._lingering: set[asyncio.Task[object]] = set()
        self._weather = Weather()
        self._daemon: SimDaemon | None = None
        self._peaceful = False

    async def run(self) -> Report:
        """Go through it."""
        began = time.process_time()
        self._assemble()
        self._begin()
        try:
            await self._trouble()
            if self._violation is None:
                await self._heal()
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        trace, days = self._trace, asyncio.get_running_loop().time() / 86400
        cost = time.process_time() - began
        return Report(self._options, self._violation, trace.digest, trace.tail, trace.counts, days, cost)

    def _assemble(self) -> None:
        options, loop = self._options, asyncio.get_running_loop()
        chance = options.chance("scenery")
        self._scenery = draw_scenery(chance)
        self._text = self._scenery.config(chance)
        self._settings = read_config(self._text)
        self._clock = MachineClock(loop)
        self._trace = Trace(loop, options.tail)
        self._eye = eye = Inspector(loop, self._settings.mode, self._trace, self._break)
        self._policies()
        eye.told = self._scenery.told_by != "nothing"
        clock, addresses = TrueClock(loop), Addresses()
        for name, size in self._scenery.sizes.items():
            eye.databases[name] = database = SimDatabase(clock, name, size)
            database.cutoffs = eye.policies[name].cutoffs
            database.claim.wanted = self._settings.mode is Mode.ENFORCE
            database.signals = Tell(partial(eye.terminating, name))
        self._services = []
        for scene in self._scenery.services:
            chance = options.chance(f"service {scene.name}")
            runtime = SimRuntime(
                scene.name, scene.replicas, clock=clock, chance=chance, address=addresses.take
            )
            eye.runtimes[scene.name] = runtime
            hurry = options.chance(f"rush {scene.name}")
            service = SimService(scene, runtime, eye.databases, chance, hurry, self._trace)
            runtime.restarted = Tell(self._restarts(service))
            self._services.append(service)
        self._directory = SimDirectory(eye.runtimes)
        self._fortunes = [
            Fortune(database, options.chance(f"server {name}"), self._trace)
            for name, database in eye.databases.items()
        ]
        self._rivals = [
            Rival(database, options.chance(f"rival {name}"), self._trace)
            for name, database in eye.databases.items()
            if database.claim.wanted
        ]
        self._operator = Operator(eye.store, self._clock, self._people, self._trace, self._edit, eye.pausing)

    def _restarts(self, service: SimService) -> Any:
        def restarting(name: str) -> None:
            self._eye.restarting(service.scene.name, name)
            service.restarted(name)

        return restarting

    def _policies(self) -> None:
        self._eye.policies.update({d.name: d.policy for d in self._settings.databases})

    def _begin(self) -> None:
        options = self._options
        for service in self._services:
            self._spawn(service.live(), lasting=True)
            self._spawn(service.feel())
            self._spawn(service.rush())
            if options.faults:
                self._spawn(service.maintain())
        if options.faults:
            for fortune in self._fortunes:
                self._spawn(fortune.turn())
            for rival in self._rivals:
                self._spawn(rival.live())
            self._spawn(self._operator.operate())
            self._spawn(set_clocks(self._clock, self._people, self._trace, forward=options.forward))
            self._spawn(change_weather(self._weather, self._faults, self._trace))
        self._spawn(self._compare(), lasting=True)
        self._spawn(self._keep_running(), lasting=True)

    def _spawn(self, work: Coroutine[Any, Any, None], *, lasting: bool = False) -> None:
        task = asyncio.get_running_loop().create_task(work)
        if lasting:
            self._lingering.add(task)
        else:
            self._nature.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """A part of the world must not end by an error of its own unnoticed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._trace.note("simulation", repr(error))
            self._break(Violation("the simulation itself works", repr(error)))

    def _break(self, violation: Violation) -> None:
        self._violation = self._violation or violation
        self._end.set()

    async def _pass(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._end.wait(), seconds)
        except TimeoutError:
            return

    async def _trouble(self) -> None:
        await self._pass(self._options.days * 86400)

    async def _heal(self) -> None:
        """Let everything get well, first without, then with a person's help; all must end well."""
        self._trace.note("peace", "nothing leaks any more")
        for task in self._nature:
            task.cancel()
        self._weather.clear_up()
        self._peaceful = True
        if self._daemon is not None and self._daemon.life.frozen_until:
            self._daemon.life.die()  # who sleeps through peace sees no incident end
        for fortune in self._fortunes:
            fortune.heal()
        for rival in self._rivals:
            rival.leave()
        for service in self._services:
            service.heal()
        await self._operator.resume()
        for _ in range(4):
            await self._operator.acknowledge()
            await self._pass(_REMEDY / 4)
        self._trace.note("peace", "what was leaked is given back")
        for service in self._services:
            service.release()
        await self._operator.acknowledge()
        await self._pass(_PEACE)
        unfinished = self._eye.unfinished()
        self._eye.check(not unfinished, "every incident ends", f"open in peace: {unfinished}")

    async def _compare(self) -> None:
        while True:
            await asyncio.sleep(1777.0)
            await self._eye.compare()

    def _edit(self) -> None:
        self._text = self._scenery.config(self._people)
        self._settings = read_config(self._text)
        self._policies()
        self._trace.note("operator", "edit")
        if self._daemon is not None:
            self._daemon.reload()

    async def _keep_running(self) -> None:
        """Start the daemon, end it in one of many ways, start it again."""
        chance = self._faults
        while True:
            life = Life(self._weather, chance)
            self._daemon = daemon = self._new_daemon(life)
            self._trace.note("daemon", "starts")
            daemon.start()
            fate = "dies by itself"
            lasts = chance.expovariate(1 / (8 * _HOUR)) if self._options.faults else None
            try:
                await asyncio.wait_for(life.died.wait(), lasts)
            except TimeoutError:
                if self._peaceful:
                    await life.died.wait()
                else:
                    fate = await self._end_daemon(daemon, life)
            self._trace.note("daemon", fate)
            for database in self._eye.databases.values():  # its connections end with it
                if database.rival_since is None:
                    database.claim.leave()
            await asyncio.sleep(chance.choice((1.0, 30.0, 30.0, 1800.0)) * chance.random())

    async def _end_daemon(self, daemon: SimDaemon, life: Life) -> str:
        loop, chance = asyncio.get_running_loop(), self._faults
        match chance.choice(("kill", "stop", "freeze", "sleep", "reboot")):
            case "kill":
                life.die()
                return "is killed"
            case "reboot":
                life.die()
                self._clock.start_anew()
                return "goes down with its machine"
            case "stop":
                await daemon.stop()
                return "is stopped"
            case "freeze":
                life.frozen_until = loop.time() + chance.uniform(1, 3600)
            case _:
                length = chance.uniform(1, 8 * _HOUR)
                life.frozen_until = loop.time() + length
                self._clock.sleep_through(length)
        self._trace.note("daemon", f"is suspended until {life.frozen_until:.0f}")
        try:
            await asyncio.wait_for(life.died.wait(), chance.expovariate(1 / (4 * _HOUR)))
        except TimeoutError:
            life.die()
        return "was suspended, and is killed"

    def _new_daemon(self, life: Life) -> SimDaemon:
        tamper, eye = self._options.tamper, self._eye
        databases: dict[str, Database] = {
            name: tamper.database(FaultyDatabase(database, life, eye.sampled, eye.looked))
            for name, database in eye.databases.items()
        }
        runtimes: dict[str, Runtime] = {
            name: tamper.runtime(FaultyRuntime(runtime, life)) for name, runtime in eye.runtimes.items()
        }
        return SimDaemon(
            life,
            read_config(tamper.config(self._text)),
            databases=databases,
            runtimes=runtimes,
            directory=tamper.directory(self._directory) if self._scenery.told_by == "addresses" else None,
            store=tamper.store(FaultyStore(eye.store, life, self._linger)),
            clock=self._clock,
            witness=tamper.witness(eye),
            follower=tamper.follower(),
            read=lambda: read_config(tamper.config(self._text)),
        )

    def _linger(self, work: Awaitable[object]) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)
