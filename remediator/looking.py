"""The world with hands tied, for whoever only looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from remediator import log
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger
from remediator.app import make_cycles
from remediator.config import Settings
from remediator.core.model import Mode
from remediator.cycle import Cycle
from remediator.world import World, make_world


@asynccontextmanager
async def looking(
    settings: Settings, mode: Mode
) -> AsyncIterator[tuple[World, tuple[Cycle, ...], SqliteLedger]]:
    """Hold the world with hands tied: whatever the mode, nothing can be changed through it.

    Args:
        settings: The settings.
        mode: Whose ledger is looked at.
    """
    store = SqliteLedger(settings.state_dir, mode, read_only=True)
    world = make_world(settings, Mode.DRY_RUN)
    try:
        cycles = make_cycles(
            settings,
            Mode.DRY_RUN,
            world,
            store=store,
            observer=log.LogObserver(),
            clock=SystemClock(),
        )
        yield world, cycles, store
    finally:
        await world.close()
        await store.close()
