"""The time, as a cycle knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """The one `now` of a cycle, read once at the border and passed inwards.

    Attributes:
        at: Wall-clock time in UTC, for records and for people.
        mono: Seconds on the monotonic clock, for dwell times, which a clock change must not bend.
        boot: Which boot of the machine this is, empty where that cannot be told.
        uptime: Seconds since that boot, those in which the machine slept included.
        stamp: Time on the ledger's clock, once that is known.
    """

    at: datetime
    mono: float
    boot: str = ""
    uptime: float = 0.0
    stamp: datetime | None = None

    @property
    def steady(self) -> datetime:
        """Time on the ledger's clock, for budgets and waits; the wall clock's until the ledger was asked."""
        return self.stamp or self.at

    def since(self, earlier: Moment) -> float:
        """Seconds since an earlier moment of the same process, those in which the machine slept included."""
        return max(self.mono - earlier.mono, self.uptime - earlier.uptime)
