"""What is left of a rate, and until when."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from remediator.core.budgets import Usage, backoff_ends, usage
from remediator.core.policy import Backoff, Rate
from tests.builders import make_policy, moment

HOURLY = Rate(2, timedelta(hours=1))
NOW = moment(3600).at


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        (moment(0).at, False),
        (moment(0.001).at, True),
        (moment(3600).at, True),
        (moment(99_999).at, True),
    ],
)
def test_the_window_slides_and_the_future_counts(at: datetime, counts: bool) -> None:
    """What is an hour ago to the second no longer counts."""
    assert usage(HOURLY, [at], NOW).used == int(counts)


@pytest.mark.parametrize(
    ("minutes", "used", "left", "frees_in"),
    [
        ((), 0, 2, None),
        ((61,), 0, 2, None),
        ((40,), 1, 1, 20),
        ((10, 40), 2, 0, 20),
        # over the limit, after it was lowered: room comes with the second newest
        ((10, 20, 30, 40), 4, 0, 40),
    ],
)
def test_it_says_when_there_is_room_again(
    minutes: tuple[int, ...], used: int, left: int, frees_in: int | None
) -> None:
    """In whatever order the times come."""
    found = usage(HOURLY, [NOW - timedelta(minutes=m) for m in minutes], NOW)
    assert (found.used, found.left) == (used, left)
    assert found.frees_at == (None if frees_in is None else NOW + timedelta(minutes=frees_in))


def test_a_limit_of_nothing_never_has_room() -> None:
    """And says no time."""
    nothing = usage(Rate(0, timedelta(hours=1)), [NOW], NOW)
    assert (nothing.left, nothing.frees_at) == (0, None)
    assert nothing.describe(NOW) == "limit 0 per 1h"


def test_the_wait_is_told_only_when_there_is_one() -> None:
    """Room for one more needs no time."""
    soon = NOW + timedelta(minutes=7)
    assert Usage(HOURLY, 1, soon).describe(NOW) == "limit 2 per 1h"
    assert Usage(HOURLY, 2, soon).describe(NOW) == "limit 2 per 1h, again in 7m"


@pytest.mark.parametrize(("restarts", "minutes"), [(1, 30), (2, 60), (3, 120), (4, 120), (10_000, 120)])
def test_the_backoff_doubles_up_to_its_cap(restarts: int, minutes: int) -> None:
    """However often it was restarted."""
    backoff = Backoff(timedelta(minutes=30), timedelta(hours=2))
    assert backoff.after(restarts) == timedelta(minutes=minutes)
    assert Backoff(timedelta(hours=3), timedelta(hours=2)).after(restarts) == timedelta(hours=2)


def test_without_a_backoff_there_is_nothing_to_wait_for() -> None:
    """The rates hold by themselves."""
    assert backoff_ends(make_policy().limits, [NOW], NOW) is None


def test_the_horizon_covers_every_limit() -> None:
    """What is not loaded does not count."""
    week = Rate(1, timedelta(days=7))
    assert make_policy().limits.horizon == timedelta(days=1)
    assert make_policy(terminate=(week, HOURLY)).limits.horizon == week.per
    assert make_policy(restart=(HOURLY, week)).limits.horizon == week.per
    assert make_policy(restart_per_service=(HOURLY, week)).limits.horizon == week.per
    backoff = Backoff(timedelta(hours=1), timedelta(days=9))
    assert make_policy(restart_per_service=week, backoff=backoff).limits.horizon == timedelta(days=9)
