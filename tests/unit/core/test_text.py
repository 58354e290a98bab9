"""Quantities as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core.text import count, duration, durations, percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-0.0, "0s"),
        (0.04, "0s"),
        (-0.04, "0s"),
        (0.25, "0.2s"),
        (0.5, "0.5s"),
        (10, "10s"),
        (59.94, "59.9s"),
        (59.96, "1m"),
        (60, "1m"),
        (61, "1m 1s"),
        (600, "10m"),
        (3599.6, "1h"),
        (5400, "1h 30m"),
        (3601, "1h 1s"),
        (86_400, "1d"),
        (90_061, "1d 1h"),
        (31 * 86_400, "31d"),
        (-90, "-1m 30s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Two units are enough; what is shown as 60 s is a minute."""
    assert duration(seconds) == text
    assert duration(timedelta(seconds=seconds)) == text


def test_durations_that_look_the_same_are_said_once() -> None:
    """From the shortest to the longest, whatever their order."""
    assert durations([149.4, 148.9, 149.2]) == "2m 29s"
    assert durations([61, 600, 90]) == "1m 1s to 10m"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0%"), (0.2, "20%"), (0.29, "29%"), (0.9583, "95.8%"), (1, "100%"), (1.03, "103%"), (0.005, "0.5%")],
)
def test_percentages(ratio: float, text: str) -> None:
    """At most one decimal, and none that says nothing."""
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 sessions"), (1, "1 session"), (2, "2 sessions"), (1000, "1000 sessions")]
)
def test_counts(number: int, text: str) -> None:
    """One is singular, everything else is plural."""
    assert count(number, "session") == text


def test_a_plural_of_its_own() -> None:
    """Not every noun takes an s."""
    assert (count(1, "entry", "entries"), count(2, "entry", "entries")) == ("1 entry", "2 entries")
