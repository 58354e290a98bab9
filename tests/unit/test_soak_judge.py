"""The soak's judge: what it calls flat, what it calls a leak, and how it counts windows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from remediator.core.policy import Rate
from tests.soak.judge import (
    growth,
    judge_budget,
    judge_process,
    longest_gap,
    most_within,
    raised,
    second_half,
    slope,
)
from tests.soak.readings import Reading
from tests.soak.verdict import LINES, REASONS, reasons, unexpected_lines

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)


def minutes(*numbers: float) -> list[datetime]:
    """Times so many minutes after noon."""
    return [NOON + timedelta(minutes=number) for number in numbers]


def reading(
    at: float, *, pid: int = 1, rss: int = 60_000, descriptors: int = 12, sockets: int = 5
) -> Reading:
    """One look at a process."""
    return Reading(at, pid, rss, rss, descriptors, 4, 0, sockets)


def test_a_slope_is_not_moved_by_outliers() -> None:
    """A few high readings while a fault lasts are no leak."""
    points = [(float(x), 2.0 * x + (1000 if x % 10 == 0 else 0)) for x in range(100)]
    assert slope(points) == pytest.approx(2.0)
    assert slope([(0.0, 1.0)]) == 0


def test_growth_in_one_step_counts() -> None:
    """A descriptor lost early stays lost, though the slope between most pairs of points is level."""
    assert growth([(float(x), 12.0 if x < 30 else 14.0) for x in range(100)]) >= 2
    assert growth([]) == 0


def test_a_lifted_floor_is_a_leak() -> None:
    """However much comes and goes above it."""
    assert raised([(float(x), 12.0 + 6 * (x % 3 > 0)) for x in range(40)]) == 0
    assert raised([(float(x), 12.0 + 6 * (x % 3 > 0) + (x > 20)) for x in range(40)]) == 1
    assert raised([]) == 0


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        (reading, set()),
        (lambda at: reading(at, descriptors=12 + int(at) % 3), set()),
        (lambda at: reading(at, descriptors=12 + int(at) // 20), {"file descriptors flat"}),
        (lambda at: reading(at, sockets=5 + int(at) // 20), set()),
        (lambda at: reading(at, sockets=5 + int(at) // 5), {"sockets flat"}),
        (
            lambda at: reading(at, rss=60_000 + 50 * int(at)),
            {"resident KiB flat", "private KiB flat"},
        ),
        (lambda at: reading(at, pid=int(at) // 10), {"one process through the second half"}),
    ],
    ids=["flat", "noise", "descriptors", "a pool", "sockets", "memory", "short lives"],
)
def test_what_is_caught(fault: Callable[[float], Reading], broken: set[str]) -> None:
    """Noise is none, and a slow leak is one."""
    findings = judge_process([fault(float(at)) for at in range(200)])
    assert {finding.what for finding in findings if not finding.ok} == broken


def test_nothing_read_is_no_proof() -> None:
    """A run without readings fails."""
    assert not any(finding.ok for finding in judge_process([]))


def test_the_second_half_is_of_one_process() -> None:
    """That which was seen most; what came before it is not held against it."""
    readings = [reading(at, pid=1 if at < 60 else 2) for at in range(100)]
    assert [r.at for r in second_half(readings)] == list(range(60, 100))


def test_budgets_hold_in_every_window() -> None:
    """Also in one that begins between two full hours; what is as old as the window counts no more."""
    times = minutes(0, 50, 59, 61, 110)
    assert most_within(times, timedelta(hours=1)) == 3
    assert most_within(minutes(0, 60), timedelta(hours=1)) == 1
    assert most_within([], timedelta(hours=1)) == 0
    assert judge_budget("x", times, Rate(3, timedelta(hours=1))).ok
    assert not judge_budget("x", times, Rate(2, timedelta(hours=1))).ok


def test_the_report_tells_why_something_unexpected_was_said() -> None:
    """With the fault that had begun last, and never more than fits."""
    begun = [(NOON.timestamp() - 2, "pause"), (NOON.timestamp() + 5, "reload")]
    line = {"event": "ledger_unavailable", "at": NOON.isoformat(), "severity": "error", "because": "why"}
    [told] = unexpected_lines(begun, [{**line, "event": "cycle"}, line])
    assert told.startswith("pause, 2.0 s ago: ")
    assert '"because": "why"' in told
    [told] = unexpected_lines([], [line])
    assert told.startswith("before any fault: ")
    assert len(unexpected_lines(begun, [line] * 100)) == LINES


def test_the_report_keeps_the_most_frequent_reasons() -> None:
    """Of warnings and errors, by event."""
    many = [{"event": "held", "severity": "error", "because": f"{n % 9}"} for n in range(100)]
    found = reasons([*many, {"event": "plan", "severity": "info", "because": "x"}])
    assert list(found) == ["held"]
    assert found["held"]["0"] == 12
    assert len(found["held"]) == REASONS


def test_the_longest_gap() -> None:
    """Between neighbours, in whatever order they come."""
    assert longest_gap(minutes(7, 0, 2)) == 300
    assert longest_gap(minutes(1)) == 0
