"""The daemon's loop around cycles in memory: late, failing, and stopped in the middle of one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from remediator import daemon as daemons
from remediator.adapters.clock import SystemClock
from remediator.core.events import Event
from remediator.core.model import Level, Moment
from remediator.core.turn import Turn
from remediator.cycle import Cycle
from remediator.daemon import Daemon
from remediator.errors import ConfigError
from remediator.testing import FakeDatabase
from tests.unit.cycle_world import World


class _Watcher:
    """A supervisor that remembers, and does something at its first word."""

    def __init__(self, at_ready: Callable[[], None] = lambda: None) -> None:
        self.heard: list[str] = []
        self._at_ready = at_ready

    def ready(self, _: timedelta) -> None:
        self.heard.append("ready")
        self._at_ready()

    def alive(self) -> None:
        self.heard.append("alive")

    def stalled(self, databases: Sequence[str]) -> None:
        self.heard.append(f"stalled {' '.join(databases)}")

    def stopping(self) -> None:
        self.heard.append("stopping")


class _SetBack:
    """A clock that is an hour ahead until it is put right."""

    def __init__(self) -> None:
        self.ahead = timedelta(hours=1)

    def now(self) -> Moment:
        now = SystemClock().now()
        return Moment(now.at + self.ahead, now.mono)

    def put_right(self) -> None:
        self.ahead = timedelta(0)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def _nothing() -> None:
    """Housekeeping that there is none of."""


def _daemon(world: World, watcher: _Watcher, reload: Callable[[], None] = lambda: None) -> Daemon:
    return Daemon(
        world.cycles,
        clock=SystemClock(),
        observer=world.told,
        supervisor=watcher,
        reload=reload,
        daily=_nothing,
    )


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the loop turns meanwhile
            await asyncio.sleep(0)


async def test_a_cycle_in_progress_comes_to_its_end() -> None:
    """A stop waits for it, so that what it was about to do is done and recorded."""
    world, watcher = World(), _Watcher()
    world.database.gate = asyncio.Event()
    running = asyncio.create_task(_daemon(world, watcher).run())
    await _until(lambda: "ready" in watcher.heard)
    await _until(lambda: _is_waiting(world.database))
    _stop()
    await _until(lambda: "stopping" in watcher.heard)
    assert not running.done()
    world.database.gate.set()
    await running
    assert world.told.names(apart_from=()) == ["daemon_stopping", "cycle"]
    assert watcher.heard == ["ready", "stopping", "alive"]
    assert world.database.closed


def _is_waiting(database: FakeDatabase) -> bool:
    gate = database.gate
    return gate is not None and bool(gate._waiters)  # noqa: SLF001  nothing else tells


async def test_a_cycle_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it leaves open, the next start settles."""
    monkeypatch.setattr(daemons, "_DRAIN", 0.01)
    world, watcher = World(), _Watcher()
    world.database.gate = asyncio.Event()
    running = asyncio.create_task(_daemon(world, watcher).run())
    await _until(lambda: _is_waiting(world.database))
    _stop()
    await running
    assert world.told.names(apart_from=()) == ["daemon_stopping"]


async def test_a_fault_of_ours_does_not_end_the_watch() -> None:
    """The next cycle is tried; a cycle that failed is no sign of life."""
    world, watcher = World(), _Watcher()

    async def broken(_: Moment) -> Turn:
        raise ZeroDivisionError("of ours")

    world.cycles[0].run = broken  # type: ignore[method-assign, assignment]
    running = asyncio.create_task(_daemon(world, watcher).run())
    await _until(lambda: bool(world.told.of(Event.CYCLE_FAILED)))
    _stop()
    await running
    (failed,) = world.told.of(Event.CYCLE_FAILED)
    assert failed["because"] == "ZeroDivisionError: of ours"
    assert "broken, line" in failed["where"]
    assert "alive" not in watcher.heard


async def test_a_clock_that_is_set_back_does_not_stop_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler goes by the wall clock; a check that is late is started all the same, and said."""
    monkeypatch.setattr(daemons, "_LATE", 0.02)
    world, clock = World(), _SetBack()
    watcher = _Watcher(clock.put_right)
    daemon = _daemon(world, watcher)
    daemon._clock = clock  # noqa: SLF001
    running = asyncio.create_task(daemon.run())
    await _until(lambda: bool(world.told.of(Event.CYCLE)))
    _stop()
    await running
    assert world.told.names(apart_from=())[:2] == ["cycle_late", "cycle"]
    assert "alive" in watcher.heard


async def test_a_database_whose_checks_never_end_is_named_while_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sign of life stops, and says because of whom."""
    world, watcher = World(databases=("shop", "blog")), _Watcher()
    monkeypatch.setattr(Daemon, "_longest_silence", lambda _: timedelta(seconds=0.2))
    for cycle in world.cycles:
        cycle.policy = replace(cycle.policy, check_every=dict.fromkeys(Level, timedelta(milliseconds=20)))
    world.databases["blog"].gate = asyncio.Event()
    running = asyncio.create_task(_daemon(world, watcher).run())
    await _until(lambda: "stalled blog" in watcher.heard)
    world.databases["blog"].gate.set()
    since = len(watcher.heard)
    await _until(lambda: "alive" in watcher.heard[since:])
    _stop()
    await running


async def test_a_check_that_is_due_before_the_last_one_is_seen_to_be_over_is_not_lost() -> None:
    """The machine stood still for a pace at just that moment, or the clock jumped ahead."""
    world, clock = World(), _SetBack()
    clock.ahead = timedelta(hours=-1)
    daemon = _daemon(world, _Watcher())
    daemon._clock = clock  # noqa: SLF001
    running = asyncio.create_task(daemon.run())
    await _until(lambda: len(world.told.of(Event.CYCLE)) >= 3)
    _stop()
    await running
    assert not world.told.of(Event.CYCLE_LATE)
    assert not world.told.of(Event.CYCLE_FAILED)


async def test_a_check_that_begins_just_as_it_is_missed_is_done_once() -> None:
    """It is started again because it is late, and found to be under way."""
    world = World()
    world.database.gate = asyncio.Event()
    daemon = _daemon(world, _Watcher())
    ended: list[str] = []
    check = daemon._check  # noqa: SLF001

    async def counted(cycle: Cycle) -> None:
        await check(cycle)
        ended.append(cycle.database.name)

    daemon._check = counted  # type: ignore[method-assign]  # noqa: SLF001
    running = asyncio.create_task(daemon.run())
    await _until(lambda: _is_waiting(world.database))
    daemon._force(world.cycles[0])  # noqa: SLF001
    await _until(lambda: bool(ended))
    assert world.told.names(apart_from=()) == ["cycle_late"]
    world.database.gate.set()
    await _until(lambda: len(ended) == 2)
    _stop()
    await running
    assert len(world.told.of(Event.CYCLE)) == 1


async def test_reloads_are_told() -> None:
    """Good or bad; a good one tells the supervisor anew how patient to be."""
    world, watcher = World(), _Watcher()
    answers = iter([None, ConfigError(("c.yaml:1:1: x: wrong", "c.yaml:2:1: y: wrong"))])

    def reload() -> None:
        if (error := next(answers)) is not None:
            raise error

    running = asyncio.create_task(_daemon(world, watcher, reload).run())
    await _until(lambda: bool(world.told.of(Event.CYCLE)))
    for event in (Event.CONFIG_RELOADED, Event.CONFIG_REJECTED):
        os.kill(os.getpid(), signal.SIGHUP)
        await _until(lambda told=event: bool(world.told.of(told)))  # type: ignore[misc]
    _stop()
    await running
    assert watcher.heard.count("ready") == 2
    assert world.told.of(Event.CONFIG_REJECTED)[0]["because"] == [
        "c.yaml:1:1: x: wrong",
        "c.yaml:2:1: y: wrong",
    ]
