"""Where the slots are going: growth, and how fast sessions come and go, over the last few minutes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import correlation, linear_regression
from typing import TYPE_CHECKING

from remediator.core.server import Counters, Endings, endings, replaced, restarted
from remediator.core.text import duration

if TYPE_CHECKING:
    from remediator.core.model import Sample

WINDOW = 300.0
"""Seconds that a trend looks back."""

# Growth must be told from noise: so many readings, over so many seconds, on a line as straight as this.
_LEAST_READINGS = 4
_LEAST_SECONDS = 20.0
_STRAIGHT = 0.9  # the straightest single jump has 0.894
_LEAST_SESSIONS = 3
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Tally:
    """What a trend keeps of a sample.

    Attributes:
        mono: When it was taken, on the monotonic clock.
        recent: Sessions that began within the minute before.
        signalled: Sessions that we had told to end by then, None if that is not known.
        ended: How sessions ended since the reading before; None when that cannot be told.
        owed: Sessions that we told to end and that the server had not counted as killed by then.
    """

    mono: float
    used: int
    free: int
    counters: Counters | None
    recent: int
    signalled: int | None = 0
    ended: Endings | None = None
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Growth:
    """How the number of used slots changes.

    Attributes:
        per_second: Sessions per second, on the line that fits best; below 0 when it falls.
        seconds: How far back it was looked.
        readings: How many were looked at.
        steady: It grows in earnest: neither noise nor a single jump.
        exhausted_in: Seconds until no slot is free if it goes on; None unless it grows steadily.
    """

    per_second: float
    seconds: float
    first: int
    last: int
    readings: int
    steady: bool = False
    exhausted_in: float | None = None

    def __str__(self) -> str:
        rate = f"{self.per_second * _MINUTE:+.1f} sessions per minute"
        return f"{rate}, {self.first} to {self.last} in {duration(self.seconds)}, {self.readings} readings"

    @property
    def prospect(self) -> str:
        """When no slot is left, where that can be told, with the evidence."""
        if self.exhausted_in is None:
            return str(self)
        left = f"in {duration(self.exhausted_in)} if this goes on " if self.exhausted_in else ""
        return f"no slot left {left}({self})"


@dataclass(frozen=True, slots=True)
class Trend:
    """The readings of the last minutes, oldest first."""

    readings: tuple[Tally, ...] = ()

    def tell(self, sample: Sample) -> Trend:
        """Take note of one more sample; one without a reading changes nothing."""
        slots = sample.slots
        if slots is None:
            return self
        mono = sample.moment.mono
        tally = Tally(mono, slots.used, slots.free, sample.counters, sample.recent, sample.signalled)
        kept = tuple(r for r in self.readings if mono - WINDOW <= r.mono < mono)
        return Trend((*kept, _since(kept[-1], tally) if kept else tally))

    def growth(self) -> Growth | None:
        """Fit a line to the used slots; None while there is too little to go by."""
        readings = self.readings
        if len(readings) < _LEAST_READINGS:
            return None
        first, last = readings[0], readings[-1]
        seconds = last.mono - first.mono
        if seconds < _LEAST_SECONDS:
            return None
        if last.used - first.used < _LEAST_SESSIONS:
            slope = (last.used - first.used) / seconds
            return Growth(
                slope, seconds, first.used, last.used, len(readings), steady=False, exhausted_in=None
            )
        times, used = [r.mono - first.mono for r in readings], [r.used for r in readings]
        slope = linear_regression(times, used).slope
        steady = slope > 0 and correlation(times, used) >= _STRAIGHT
        left = last.free / slope if steady else None
        return Growth(slope, seconds, first.used, last.used, len(readings), steady, left)

    def churn(self) -> float | None:
        """Sessions that begin per second, over about a minute; None while there is too little to go by.

        By the server's own counters, our probes included. Before PostgreSQL 14 it has none: then those that
        began within a minute and are there still, so at least as many.
        """
        if not self.readings:
            return None
        last = self.readings[-1]
        if last.counters is None:
            return last.recent / _MINUTE
        known = [(r.mono, r.counters) for r in self.readings if r.counters and r.mono >= last.mono - _MINUTE]
        mono, counters = known[0]
        begun = last.counters.begun - counters.begun
        if last.mono - mono < _LEAST_SECONDS or begun < 0:  # the statistics were reset
            return None
        return begun / (last.mono - mono)

    def endings(self, since: float | None = None) -> Endings | None:
        """How sessions ended; None while that cannot be told, and before PostgreSQL 14.

        Args:
            since: A time on the monotonic clock; that of the first reading unless given.
        """
        if not self.readings:
            return None
        start = self.readings[0].mono if since is None else since
        told = [r.ended for r in self.readings if r.ended is not None and r.mono > start]
        return sum(told[1:], told[0]) if told else None

    @property
    def seconds(self) -> float:
        """How far the readings reach back."""
        return self.readings[-1].mono - self.readings[0].mono if self.readings else 0.0


def _since(before: Tally, now: Tally) -> Tally:
    """Tell how sessions ended between two readings, those apart that we ended.

    A session counts as killed when it ends, which may be later than our signal. Whoever counts signals anew,
    another process or one that was started again, cannot tell whose those are that were killed meanwhile.
    """
    if before.signalled is None or now.signalled is None or now.signalled < before.signalled:
        return now
    if before.counters is None or now.counters is None:
        return now
    owed = before.owed + now.signalled - before.signalled
    killed = now.counters.killed - before.counters.killed
    ended = endings(before.counters, now.counters, owed)
    return replace(now, ended=ended, owed=max(0, owed - killed) if ended is not None else owed)


def recalled(before: Iterable[Sample], now: Sample) -> Trend:
    """Make the trend that leads up to a single look of what another process has recorded.

    Args:
        before: Samples with the times of another process; those of a server that is gone are left out.
        now: The look.
    """
    trend = Trend()
    for sample in before:
        age = (now.moment.at - sample.moment.at).total_seconds()
        same = not (restarted(sample.server, now.server) or replaced(sample.server, now.server))
        if same and 0 < age <= WINDOW:
            trend = trend.tell(replace(sample, moment=replace(now.moment, mono=now.moment.mono - age)))
    return trend


NO_TREND = Trend()
