"""Who else has a hand in it: operators, whoever sets the clock, and the weather."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from random import Random

from remediator.core.clock import stamped
from remediator.core.ledger import Pause
from tests.simulation.faults import Weather
from tests.simulation.ledger import SimLedger
from tests.simulation.trace import Trace
from tests.simulation.virtual import MachineClock

_HOUR = 3600.0


class Operator:
    """Pauses, resumes, acknowledges locks and edits the policies, seldom at the right moment."""

    def __init__(
        self,
        store: SimLedger,
        clock: MachineClock,
        chance: Random,
        trace: Trace,
        edit: Callable[[], None],
        told: Callable[[timedelta | None], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._trace = trace
        self._edit = edit
        self._told = told

    async def operate(self) -> None:
        """Do something now and then, for ever."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / _HOUR))
            match self._chance.choice(("pause", "resume", *["ack"] * 6, *["nothing"] * 3, "edit")):
                case "pause":
                    await self._pause(self._chance.choice((timedelta(minutes=10), timedelta(hours=2), None)))
                    if self._chance.random() < 0.5:  # comes back to it, or forgets it
                        await asyncio.sleep(self._chance.expovariate(1 / _HOUR))
                        await self.resume()
                case "resume":
                    await self.resume()
                case "ack":
                    await self.acknowledge()
                case "edit":
                    self._edit()

    async def _pause(self, lasts: timedelta | None) -> None:
        now = stamped(self._clock.now(), await self._store.clock())
        until, ends = (now.at + lasts, now.steady + lasts) if lasts else (None, None)
        self._told(lasts)
        await self._store.pause(Pause(now.at, until, "looking at it", ends))
        self._trace.note("operator", f"pause for {lasts}")

    async def resume(self) -> None:
        """End a pause."""
        if await self._store.resume():
            self._trace.note("operator", "resume")

    async def acknowledge(self) -> None:
        """Lift all locks."""
        if await self._store.acknowledge():
            self._trace.note("operator", "ack")


async def set_clocks(clock: MachineClock, chance: Random, trace: Trace, *, forward: bool) -> None:
    """Set the wall clock now and then, for ever.

    Args:
        clock: The clock.
        chance: Decides when and how far.
        trace: Told.
        forward: Forward, too; a clock that was set back is corrected without that.
    """
    while True:
        await asyncio.sleep(chance.expovariate(1 / (12 * _HOUR)))
        by = timedelta(seconds=chance.choice((0.5, 30.0, 600.0, _HOUR, 30 * _HOUR)) * chance.random())
        if not forward or chance.random() < 0.5:
            by = -by
        clock.jump(by)
        trace.note("clock", f"set by {by.total_seconds():.1f} s")


async def change_weather(weather: Weather, chance: Random, trace: Trace) -> None:
    """Let faults come in storms, for ever."""
    while True:
        await asyncio.sleep(chance.expovariate(1 / (2 * _HOUR)))
        kind = chance.choice(("slow", "lost", "ledger", "late", "death", "all"))
        if kind in {"slow", "all"}:
            weather.slow, weather.slowest = chance.choice(((0.3, 4.0), (0.05, 20.0)))
        if kind in {"lost", "all"}:
            weather.lost = chance.choice((0.05, 0.3))
        if kind in {"ledger", "all"}:
            weather.ledger = chance.choice((0.02, 0.2))
        if kind in {"late", "all"}:
            weather.late = 0.02
        if kind in {"death", "all"}:
            weather.death = chance.choice((0.002, 0.02))
        trace.note("weather", f"{kind}: {weather}")
        await asyncio.sleep(chance.expovariate(1 / (0.5 * _HOUR)))
        weather.clear_up()
        trace.note("weather", "clears up")
