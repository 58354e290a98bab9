"""Virtual time: an event loop that leaps to its next timer instead of waiting, and clocks that follow it."""

from __future__ import annotations

import asyncio
import selectors
from datetime import timedelta

from remediator.core.model import Moment
from remediator.testing import FakeClock
from remediator.testing.clock import START

_MONO = 1000.0


class _Leap(selectors.SelectSelector):
    """Nothing comes from outside, so waiting is a matter of adding."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass that the loop would wait."""
        if timeout is None:
            raise RuntimeError("everything waits for something that nothing will bring about")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual; two runs of the same program run alike."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._leap.now


class TrueClock(FakeClock):
    """The time that really is, which no part of the daemon gets to see; a database's clock is right."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(START, _MONO)
        self._loop = loop
        self._read_at = -1.0

    def now(self) -> Moment:
        """Read both clocks."""
        at = self._loop.time()
        if at != self._read_at:
            self._read_at, self._now = at, self._read(at)
        return self._now

    def advance(self, by: timedelta | float) -> Moment:
        """Do nothing for no time; any other would be somebody who makes time go by on his own."""
        if by not in {0, timedelta(0)}:
            raise ValueError("virtual time passes in the event loop only")
        return self.now()

    def _read(self, at: float) -> Moment:
        return Moment(START + timedelta(seconds=at), _MONO + at)


class MachineClock(TrueClock):
    """The clocks of the daemon's machine: one can be set, one stands still while it is suspended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.set_forward = timedelta(0)
        self._slept = 0.0
        self._booted = -_MONO

    def jump(self, by: timedelta) -> Moment:
        """Set the wall clock forward or back."""
        self.set_forward += by
        self._read_at = -1.0
        return self.now()

    def sleep_through(self, seconds: float) -> None:
        """Let the monotonic clock miss so much of the time."""
        self._slept += seconds
        self._read_at = -1.0

    def start_anew(self) -> None:
        """Boot the machine: all clocks but the wall clock begin anew."""
        self._boots += 1
        self._booted = self._loop.time()
        self._slept = 0.0
        self._read_at = -1.0

    def _read(self, at: float) -> Moment:
        uptime = at - self._booted
        wall = START + timedelta(seconds=at) + self.set_forward
        return Moment(wall, uptime - self._slept, f"boot {self._boots}", uptime)
