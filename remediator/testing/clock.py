"""A clock that stands still until it is moved."""

from __future__ import annotations

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
        self._now = Moment(at, mono)

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
        self._now = Moment(self._now.at + passed, self._now.mono + passed.total_seconds())
        return self._now

    def jump(self, by: timedelta) -> Moment:
        """Set the wall clock forward or back; the monotonic clock knows nothing of it."""
        self._now = Moment(self._now.at + by, self._now.mono)
        return self._now
