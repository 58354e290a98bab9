"""The daemon in the simulation: real cycles, wired by the real composition root, at the real pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol, cast

from remediator.app import Reload, make_cycles
from remediator.config import Settings
from remediator.core.events import Event
from remediator.core.model import Level, Moment
from remediator.core.turn import Turn
from remediator.cycle import Cycle, settle_unwatched
from remediator.errors import ConfigError, LedgerError
from remediator.ports import (
    KEEP_RECORDS,
    Clock,
    Database,
    Directories,
    Follower,
    LedgerStore,
    Observer,
    Runtime,
)
from remediator.world import World
from tests.simulation.faults import Life


class Witness(Observer, Protocol):
    """Told what the daemon does, from outside of its cycles."""

    def begins(self, database: str, moment: Moment) -> None:
        """A cycle begins."""

    def turned(self, database: str, turn: Turn) -> None:
        """A cycle has completed."""

    def failed(self, database: str, error: Exception) -> None:
        """A cycle ended in an error, which none should."""


class SimDaemon:
    """One process.

    Args:
        life: Its life.
        settings: What it has read.
        databases: Its side of the databases.
        runtimes: Its side of the runtimes.
        directory: Tells it who lives where.
        store: Its side of the ledger.
        clock: The machine's clocks.
        witness: Told everything.
        read: Reads the config anew.
        follower: Gets to see completed cycles.
    """

    def __init__(
        self,
        life: Life,
        settings: Settings,
        *,
        databases: dict[str, Database],
        runtimes: dict[str, Runtime],
        directory: Directories | None,
        store: LedgerStore,
        clock: Clock,
        witness: Witness,
        read: Callable[[], Settings],
        follower: Follower | None = None,
    ) -> None:
        self.life = life
        self._store = store
        self._clock = clock
        self._witness = witness
        self._mode = settings.mode
        self._databases = databases
        world = World(cast("Any", databases), runtimes, engine=None, directory=cast("Any", directory))
        self.cycles = make_cycles(
            settings, settings.mode, world, store=store, observer=witness, clock=clock, follower=follower
        )
        self._reload = Reload(settings, world, self.cycles, witness, read, lambda _: None)

    def start(self) -> None:
        """Begin to check every database."""
        loop = asyncio.get_running_loop()
        for work in (self._house(), *(self._check(cycle) for cycle in self.cycles)):
            self.life.tasks.add(loop.create_task(work))

    async def stop(self) -> None:
        """End as on SIGTERM, with cycles that do not end in time: whatever runs is cancelled."""
        running = list(self.life.tasks)
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=1.0)
        self.life.die()

    def reload(self) -> None:
        """Read the config anew, as on SIGHUP."""
        with suppress(ConfigError):
            self._reload()

    async def _house(self) -> None:
        while True:
            with suppress(LedgerError):
                moment = self._clock.now()
                await settle_unwatched(self._store, self._databases.keys(), self._witness, self._mode, moment)
                await self._store.prune(moment.at - KEEP_RECORDS)
            await self._sleep(timedelta(days=1))

    async def _check(self, cycle: Cycle) -> None:
        name = cycle.database.name
        while True:
            moment = self._clock.now()
            self._witness.begins(name, moment)
            pace = cycle.policy.check_every[Level.CRITICAL]
            try:
                turn = await cycle.run(moment)
            except Exception as error:  # noqa: BLE001  the daemon goes on, and so does the simulation
                self._witness.emit(Event.CYCLE_FAILED, database=name, because=repr(error))
                self._witness.failed(name, error)
            else:
                self._witness.turned(name, turn)
                pace = _pace(cycle, turn)
            await self._sleep(pace)

    async def _sleep(self, length: timedelta) -> None:
        await asyncio.sleep(length.total_seconds())
        await self.life.thaw()


def _pace(cycle: Cycle, turn: Turn) -> timedelta:
    every = cycle.policy.check_every
    if turn.in_flight:
        return every[Level.CRITICAL]
    return every[max(turn.assessment.level, turn.assessment.pending or Level.NORMAL)]
