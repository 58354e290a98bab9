"""A clock that stands still until it is moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from remediator.core.model import Moment

START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock for tests.

    Args:
        at: The wall-clock time it starts at; must know its time zone.
        mono: The monotonic clock's reading then, in seconds.
    """

    def __init__(self, at: datetime = START, mono: float = 1000.0) -> None:
        self._now = Moment(at, mono, "first boot", mono)
        self._boots = 1

    def now(self) -> Moment:
        """Read both clocks; reading takes no time."""
        return self._now

    def advance(self, by: timedelta | float) -> Moment:
        """Let time pass on both clocks.

        Args:
            by: How much, a timedelta or seconds; not negative.

        Returns:
            The new moment.
        """
        passed = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if passed < timedelta(0):
            raise ValueError("time does not run backwards; use `jump` to set the wall clock back")
        now, seconds = self._now, passed.total_seconds()
        self._now = replace(now, at=now.at + passed, mono=now.mono + seconds, uptime=now.uptime + seconds)
        return self._now

    def jump(self, by: timedelta) -> Moment:
        """Set the wall clock forward or back; the monotonic clock knows nothing of it."""
        self._now = replace(self._now, at=self._now.at + by)
        return self._now

    def sleep(self, by: timedelta) -> Moment:
        """Let the machine sleep: the monotonic clock stands still, the time since boot does not."""
        now = self._now
        self._now = replace(now, at=now.at + by, uptime=now.uptime + by.total_seconds())
        return self._now

    def reboot(self, off: timedelta) -> Moment:
        """Let the machine be off for so long and start anew; only the wall clock has gone on."""
        self._boots += 1
        self._now = Moment(self._now.at + off, 1.0, f"boot {self._boots}", 1.0)
        return self._now
