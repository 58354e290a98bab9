"""What a level may ask for: conditions, and the quantities in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from remediator.core.text import duration


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any window of length `per`."""

    count: int
    per: timedelta

    @property
    def per_second(self) -> float:
        """The same as a number per second."""
        return self.count / self.per.total_seconds()

    def __str__(self) -> str:
        return f"{self.count} per {duration(self.per)}"


@dataclass(frozen=True, slots=True)
class IdleCount:
    """Holds when at least `count` sessions have been idle for `older_than`.

    Attributes:
        count: How many, or (a float) which ratio of the usable slots.
    """

    older_than: timedelta
    count: int | float

    def least(self, usable: int) -> int:
        """How many sessions it takes where ordinary roles can get this many slots."""
        if isinstance(self.count, int):
            return self.count
        return max(1, ceil(round(self.count * usable, 7)))


@dataclass(frozen=True, slots=True)
class Conditions:
    """A level's conditions; the level holds when any of them holds.

    Attributes:
        utilization: Ratio of usable slots above which the condition holds.
        refusing_connections: Holds when a fresh connection is refused for want of slots.
        exhausted_within: Holds when, at the rate of the last minutes, no slot will be free by then.
        churn: New sessions per second, as a rate, at which the condition holds.
        connect_latency: How long connecting takes when the condition holds.
        never_used: Sessions that never ran a statement.
        idle_in_transaction: Sessions that hold a transaction open and do nothing.
    """

    utilization: float | None = None
    idle: IdleCount | None = None
    refusing_connections: bool = False
    exhausted_within: timedelta | None = None
    churn: Rate | None = None
    connect_latency: timedelta | None = None
    never_used: IdleCount | None = None
    idle_in_transaction: IdleCount | None = None

    @property
    def idling(self) -> tuple[IdleCount, ...]:
        """Those that count idle sessions."""
        return tuple(c for c in (self.idle, self.never_used, self.idle_in_transaction) if c is not None)

    @property
    def in_motion(self) -> bool:
        """Whether any of them is about where things are going."""
        return any(c is not None for c in (self.exhausted_within, self.churn, self.connect_latency))
