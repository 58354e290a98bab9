"""The ledger's clock: what it makes of the machine's clocks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core.clock import ClockMark, jump, outdated, stamped
from remediator.core.model import Moment
from tests.builders import START

HOUR = timedelta(hours=1)


def reading(
    *, passed: float = 0.0, jumped: float = 0.0, boot: str = "a", uptime: float | None = None
) -> Moment:
    """The machine's clocks after so many seconds, with the wall clock set by so many."""
    at = START + timedelta(seconds=passed + jumped)
    return Moment(at, 77.0 + passed, boot, 500.0 + passed if uptime is None else uptime)


MARK = ClockMark("a", 500.0, START, START - HOUR)


@pytest.mark.parametrize("jumped", [0, 5, -5, 86_400 * 365, -86_400 * 365])
def test_within_a_boot_only_the_time_since_boot_counts(jumped: float) -> None:
    """Whatever the wall clock is set to."""
    assert stamped(reading(passed=60, jumped=jumped), MARK).steady == START - HOUR + timedelta(seconds=60)


@pytest.mark.parametrize(("wall", "passed"), [(0, 0), (90, 90), (86_400, 86_400), (-90, 0), (-(10**9), 0)])
def test_across_a_reboot_there_is_only_the_wall_clock_and_time_never_goes_back(
    wall: int, passed: int
) -> None:
    """And time never goes back: a clock that starts in 1970 leaves the budgets as they are."""
    after = reading(jumped=wall, boot="b", uptime=3.0)
    assert stamped(after, MARK).steady == START - HOUR + timedelta(seconds=passed)


def test_without_a_mark_it_starts_with_the_wall_clock() -> None:
    """And until the ledger was asked a moment has nothing else."""
    assert reading(passed=7).steady == START + timedelta(seconds=7)
    assert stamped(reading(passed=7), None).stamp == START + timedelta(seconds=7)


def test_time_since_boot_that_runs_backwards_does_not_take_time_with_it() -> None:
    """Two readings may have been taken in the other order."""
    assert stamped(reading(passed=-3), MARK).steady == MARK.steady


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        (reading(), reading(passed=3600), 0),
        (reading(), reading(passed=3600, jumped=1.9), 0),
        (reading(), reading(passed=5, jumped=2), 2),
        (reading(), reading(passed=5, jumped=-7200), -7200),
        # a suspended machine: the monotonic clock stood still, the time since boot did not
        (Moment(START, 10.0, "a", 20.0), Moment(START + HOUR, 10.0, "a", 3620.0), 0),
        # where the boot cannot be told the monotonic clock is all there is
        (Moment(START, 10.0), Moment(START + HOUR, 10.0), 3600),
        (Moment(START, 10.0), Moment(START + HOUR, 3610.0), 0),
    ],
)
def test_a_jump_is_what_the_wall_clock_did_beyond_the_time_that_passed(
    before: Moment, after: Moment, seconds: float
) -> None:
    """Small corrections are none."""
    assert jump(before, after) == timedelta(seconds=seconds)


def test_a_mark_is_outdated_when_the_next_reboot_would_be_misled_by_it() -> None:
    """After a reboot, and after the wall clock was set."""
    mark = ClockMark.of(stamped(reading(), None))
    assert outdated(None, reading())
    assert outdated(mark, reading(boot="b"))
    assert outdated(mark, reading(passed=60, jumped=3))
    assert outdated(mark, reading(passed=60, jumped=-3))
    assert not outdated(mark, reading(passed=86_400 * 99))
    nowhere = ClockMark.of(stamped(reading(boot=""), None))
    assert not outdated(nowhere, reading(boot="", passed=60))
    assert outdated(nowhere, reading(boot="", jumped=-60))
