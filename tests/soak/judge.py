"""From readings to a judgement: what must be flat, and how flat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from statistics import median

from remediator.core.policy import Rate
from tests.soak.readings import Reading

# More points make no better slope, and the pairs of them many.
POINTS = 400
# A process that lived through less of the second half says too little about it.
SHARE = 0.5
# The Docker client keeps as many connections to the engine open as it ever needed at once, at most these.
POOL = 10


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be gained over the second half of a run.

    Attributes:
        kib: Memory in KiB.
        number: Of anything that is counted: descriptors, threads, sockets.
    """

    kib: int = 2048
    number: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was judged.

    Attributes:
        what: In words.
        ok: Whether it is as it must be.
        figure: What was measured.
        bound: What it was held against.
    """

    what: str
    ok: bool
    figure: str
    bound: str


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil and Sen): outliers do not move it."""
    thin = points[:: max(1, len(points) // POINTS)]
    slopes = [(b - y) / (a - x) for (x, y), (a, b) in combinations(thin, 2) if a != x]
    return median(slopes) if slopes else 0.0


def growth(points: Sequence[tuple[float, float]]) -> float:
    """How much was gained over all points: by the slope, or between the medians of the outer quarters.

    A leak per fault shows in few, high steps, which the slope overlooks and the medians do not.
    """
    if not points:
        return 0.0
    quarter = max(1, len(points) // 4)
    ends = [median(value for _, value in part) for part in (points[:quarter], points[-quarter:])]
    return max(slope(points) * (points[-1][0] - points[0][0]), ends[1] - ends[0])


def raised(points: Sequence[tuple[float, float]]) -> float:
    """By how much the least of the last quarter is above the least of the first.

    What is counted comes and goes with the work at hand; a leak lifts what is left when there is none.
    """
    if not points:
        return 0.0
    quarter = max(1, len(points) // 4)
    first, last = (min(value for _, value in part) for part in (points[:quarter], points[-quarter:]))
    return last - first


def second_half(readings: Sequence[Reading]) -> list[Reading]:
    """The readings of the second half of a run that are of the process seen most often there."""
    if not readings:
        return []
    middle = (readings[0].at + readings[-1].at) / 2
    late = [reading for reading in readings if reading.at >= middle]
    [(pid, _)] = Counter(reading.pid for reading in late).most_common(1)
    return [reading for reading in late if reading.pid == pid]


def judge_process(readings: Sequence[Reading], bounds: Bounds = Bounds()) -> list[Finding]:
    """Judge whether what a process holds stays the same over the second half of a run.

    Args:
        readings: All of the run, in order.
        bounds: How much it may gain.
    """
    late = second_half(readings)
    lived = late[-1].at - late[0].at if late else 0.0
    half = (readings[-1].at - readings[0].at) / 2 if readings else 0.0
    findings = [
        Finding(
            "one process through the second half",
            half > 0 and lived >= SHARE * half,
            f"{lived:.0f} s",
            f">= {SHARE:.0%} of {half:.0f} s",
        )
    ]
    held: tuple[tuple[str, Callable[[Reading], int], Callable[..., float], int], ...] = (
        ("resident KiB", lambda r: r.rss, growth, bounds.kib),
        ("private KiB", lambda r: r.private, growth, bounds.kib),
        ("file descriptors", lambda r: r.descriptors, raised, bounds.number),
        ("sockets", lambda r: r.sockets, raised, bounds.number + POOL),
        ("threads", lambda r: r.threads, raised, bounds.number),
        ("sockets in CLOSE_WAIT", lambda r: r.close_wait, raised, bounds.number),
    )
    for what, value, measure, bound in held:
        gained = measure([(r.at, value(r)) for r in late])
        values = [value(r) for r in late] or [0]
        figure = f"{gained:+.0f}; {min(values)} to {max(values)}, median {median(values):.0f}"
        findings.append(Finding(f"{what} flat", bool(late) and gained <= bound, figure, f"<= +{bound}"))
    return findings


def most_within(times: Iterable[datetime], per: timedelta) -> int:
    """The most that fell into any window of this length."""
    ordered = sorted(times)
    most = first = 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - per:
            first += 1
        most = max(most, last - first + 1)
    return most


def judge_budget(what: str, times: Iterable[datetime], rate: Rate) -> Finding:
    """Judge whether a limit held in every window of its length."""
    most = most_within(times, rate.per)
    return Finding(f"budget: {what}", most <= rate.count, f"{most} at most", f"<= {rate}")


def longest_gap(times: Iterable[datetime]) -> float:
    """The longest time between two neighbours, in seconds."""
    return max(((b - a).total_seconds() for a, b in pairwise(sorted(times))), default=0.0)
