"""Ages of sessions that a server's clock made too great when it was set ahead."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from remediator.core.model import Session

# Less than that is drift, or the correction of it.
_NOTICED = 1.0
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds on a clock that nobody sets, those in which the machine slept included."""
    return time.clock_gettime(_STEADY)


@dataclass(slots=True)
class Ages:
    """Compares the server's clock with a steady one of ours, from sample to sample.

    The server tells an age by its wall clock: set ahead by an hour, every session looks idle for an hour.
    What was idle by then is younger than that. A clock set back makes ages too small, which harms nobody.

    Attributes:
        ahead: Seconds by which the server's clock was set ahead.
        until: The server's time right after that; what came later has its true age.
    """

    ahead: float = 0.0
    until: float = 0.0
    _offset: tuple[float, float] | None = None

    def note(self, server: float, asked: float, answered: float) -> float:
        """Take note of a reading of the server's clock.

        Args:
            server: What it said, in seconds.
            asked: When it was asked, on the steady clock.
            answered: When the answer came.

        Returns:
            By how many seconds it was set since the reading before, 0 if it was not. A slow answer makes this
            uncertain: ahead it is the most, back the least that it can be, so that no age becomes too great.
        """
        least, most = server - answered, server - asked
        before, self._offset = self._offset, (least, most)
        if before is None:
            return 0.0
        if least - before[1] > _NOTICED:
            leap = most - before[0]
            self.ahead, self.until = self.ahead + leap, server
            return leap
        fall = before[0] - most
        if fall > _NOTICED:
            self.ahead = max(0.0, self.ahead - fall)
            return -fall
        return 0.0

    def corrected(self, session: Session) -> Session:
        """A session with its true age."""
        if not self._affects(session.state_change):
            return session
        return replace(session, idle_for=max(0.0, session.idle_for - self.ahead))

    def cutoff(self, session: Session, older_than: timedelta) -> timedelta:
        """The age by the server's clock at which a session is truly as old as wanted."""
        return older_than + timedelta(seconds=self.ahead if self._affects(session.state_change) else 0.0)

    def _affects(self, at: datetime | None) -> bool:
        return at is not None and at <= datetime.fromtimestamp(self.until, UTC)
