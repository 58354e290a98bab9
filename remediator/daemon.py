"""The daemon: every database's cycle at the pace its level asks for, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from remediator.core.events import Event
from remediator.core.model import Level
from remediator.core.plan import Objection
from remediator.core.turn import Turn
from remediator.cycle import Cycle
from remediator.errors import ConfigError
from remediator.ports import Clock, Observer, Supervisor

# How late a check may be before its start is forced: the scheduler goes by the wall clock, and a
# clock that is set back would make it wait for the difference.
_LATE = 2.0
# Not only after a day: a daemon that is restarted every night would never get to it.
_FIRST_HOUSEKEEPING = timedelta(minutes=1)
_DRAIN = 5.0
# A burst of SIGHUPs is answered by its first and its last: reading the config holds up the checks.
_RELOAD_EVERY = 0.5


class Daemon:
    """Runs cycles until it is told to stop.

    Args:
        cycles: One for each database.
        clock: For the moment of each cycle.
        observer: Told what happens.
        supervisor: Told of readiness and of completed cycles, and of nothing else that would look
            like life.
        reload: Reads the config anew and puts it in force; raises ConfigError to keep the old one.
        daily: Housekeeping, once a day.
        longest_cycle: How long a cycle may take when every neighbour is as slow as it may be; whoever
            watches over us must not mistake that for a standstill.
        beside: What runs beside the checks until they end; cancelled then, and never in their way.
    """

    def __init__(
        self,
        cycles: Sequence[Cycle],
        *,
        clock: Clock,
        observer: Observer,
        supervisor: Supervisor,
        reload: Callable[[], None],
        daily: Callable[[], Awaitable[None]],
        longest_cycle: timedelta = timedelta(seconds=60),
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self._cycles = cycles
        self._clock = clock
        self._observer = observer
        self._supervisor = supervisor
        self._reload = reload
        self._daily = daily
        self._longest_cycle = longest_cycle
        self._beside = beside
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            # Two, because the next check may be due before the scheduler has seen the end of the last one:
            # it would drop the job, and with it every later one. `_check` sees to it that one runs at a time.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 2},
        )
        self._stop = asyncio.Event()
        self._running: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._completed: dict[str, float] = {}
        self._late: dict[str, asyncio.TimerHandle] = {}
        self._next_reload = 0.0
        self._reloading: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Check every database until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one may be pending since our start
        soon = self._clock.now().at + _FIRST_HOUSEKEEPING
        self._scheduler.add_job(self._daily, IntervalTrigger(days=1), next_run_time=soon)
        self._scheduler.start()
        begun = self._clock.now().mono
        for cycle in self._cycles:
            self._completed[cycle.database.name] = begun
            self._schedule(cycle, 0.0)
        self._supervisor.ready(self._longest_silence())
        companions = [asyncio.create_task(run()) for run in self._beside]
        try:
            await self._stop.wait()
        finally:
            for companion in companions:
                companion.cancel()
        await self._end()
        await asyncio.gather(*companions, return_exceptions=True)

    def _on_stop(self, number: signal.Signals) -> None:
        self._observer.emit(Event.DAEMON_STOPPING, because=number.name)
        self._stop.set()
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(number)  # a second one ends the process at once

    def _on_reload(self) -> None:
        loop = asyncio.get_running_loop()
        if self._reloading is None:
            self._reloading = loop.call_at(max(self._next_reload, loop.time()), self._take_up)

    def _take_up(self) -> None:
        self._reloading = None
        self._next_reload = asyncio.get_running_loop().time() + _RELOAD_EVERY
        try:
            self._reload()
        except ConfigError as error:
            self._observer.emit(Event.CONFIG_REJECTED, because=list(error.problems))
        else:
            self._observer.emit(Event.CONFIG_RELOADED)
            self._supervisor.ready(self._longest_silence())

    def _schedule(self, cycle: Cycle, delay: float) -> None:
        name = cycle.database.name
        due = self._clock.now().at + timedelta(seconds=delay)
        self._scheduler.add_job(
            self._check, DateTrigger(run_date=due), args=[cycle], id=name, name=name, replace_existing=True
        )
        self._in_time(name)
        loop = asyncio.get_running_loop()
        self._late[name] = loop.call_later(delay + _LATE, self._force, cycle)

    def _in_time(self, name: str) -> None:
        timer = self._late.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _force(self, cycle: Cycle) -> None:
        name = cycle.database.name
        self._observer.emit(Event.CYCLE_LATE, database=name)
        self._schedule(cycle, 0.0)  # again and again, until one has begun

    async def _check(self, cycle: Cycle) -> None:
        name = cycle.database.name
        self._in_time(name)
        if name in self._running:  # it was thought late, and had just begun
            return
        self._running.add(name)
        self._idle.clear()
        pace = cycle.policy.check_every[Level.CRITICAL]
        try:
            pace = self._pace(cycle, await cycle.run(self._clock.now()))
            self._completed[name] = self._clock.now().mono
            self._feed()
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the watch over a database
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._observer.emit(
                Event.CYCLE_FAILED,
                database=name,
                because=f"{type(error).__name__}: {error}",
                where=f"{where.name}, line {where.lineno} of {where.filename}",
            )
        finally:
            self._running.discard(name)
            if not self._running:
                self._idle.set()
        if not self._stop.is_set():
            self._schedule(cycle, pace.total_seconds())

    def _pace(self, cycle: Cycle, turn: Turn) -> timedelta:
        every = cycle.policy.check_every
        if turn.in_flight:
            return every[Level.CRITICAL]
        return every[max(turn.assessment.level, turn.assessment.pending or Level.NORMAL)]

    def _feed(self) -> None:
        """Show life, or whose cycles have stalled."""
        now = self._clock.now().mono
        longest = self._longest_silence().total_seconds()
        stalled = [name for name, completed in self._completed.items() if now - completed > longest]
        if stalled:
            self._supervisor.stalled(stalled)
        else:
            self._supervisor.alive()

    def _longest_silence(self) -> timedelta:
        """How long a healthy daemon may go without completing a cycle of any one database."""
        slowest = max(max(cycle.policy.check_every.values()) for cycle in self._cycles)
        return slowest + self._longest_cycle

    async def _end(self) -> None:
        """Stop checking; give running cycles a moment. What they leave open, the next start settles."""
        self._supervisor.stopping()
        self._scheduler.remove_all_jobs()
        for handle in (*self._late.values(), self._reloading):
            if handle is not None:
                handle.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _DRAIN)
        self._scheduler.shutdown(wait=False)  # cancels what runs still
        for cycle in self._cycles:
            await cycle.database.close()


async def once(cycle: Cycle, clock: Clock) -> Turn:
    """Go through one cycle to its end: what is pending is confirmed first, what is done is verified.

    A single sample cannot satisfy a level's dwell time, so sampling goes on for as long as a level is
    pending, and then for as long as an action's outcome is not known.
    """
    pace = cycle.policy.check_every[Level.CRITICAL].total_seconds()
    while True:
        turn = await cycle.run(clock.now())
        pending = turn.assessment.pending is Level.CRITICAL
        unconfirmed = turn.plan is not None and Objection.UNCONFIRMED in turn.plan.objections
        if not turn.in_flight and not pending and not unconfirmed:
            return turn
        await asyncio.sleep(min(pace, 1.0))
