"""What people read leads back to the quantity, to the precision that is shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.config.units import parse_duration, parse_percent
from remediator.core.text import count, duration, one_line, percent, visible


@given(st.integers(0, 3599))
def test_whole_seconds_below_an_hour_are_exact(seconds: int) -> None:
    """The configuration reads them back."""
    assert parse_duration(duration(seconds)) == timedelta(seconds=seconds)


@given(st.floats(0, 365 * 86_400.0))
def test_any_length_of_time_is_read_back_to_its_two_largest_units(seconds: float) -> None:
    """No more than the smaller of the two is lost."""
    lost = abs(parse_duration(duration(seconds)).total_seconds() - seconds)
    assert lost <= (0.06 if seconds < 60 else 1 if seconds < 3600 else 60 if seconds < 86_400 else 3600)


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_a_longer_time_never_reads_shorter(one: float, other: float) -> None:
    """However it is rounded."""
    short, long = (parse_duration(duration(seconds)) for seconds in sorted((one, other)))
    assert short <= long


@given(st.integers(1, 1000))
def test_percentages_with_one_decimal_are_exact(tenths: int) -> None:
    """The configuration reads them back."""
    ratio = tenths / 1000
    assert parse_percent(percent(ratio)) == ratio


@given(st.integers(0, 10**9))
def test_counts_begin_with_the_number(number: int) -> None:
    """Only one is singular."""
    figure, noun = count(number, "session").split()
    assert int(figure) == number
    assert noun == ("session" if number == 1 else "sessions")


@given(st.text())
def test_whatever_is_in_a_text_it_can_be_seen_and_is_one_line(text: str) -> None:
    """What can be seen stays as it is."""
    shown = visible(text)
    assert shown.isprintable()
    assert text.isprintable() == (shown == text)
    assert visible(shown) == shown


@given(st.text(), st.integers(1, 50))
def test_whatever_is_said_in_lines_is_one_line_with_every_word(text: str, longest: int) -> None:
    """Nothing but white space and the division of sentences changes; said again it stays."""
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert "".join(line.split()).replace(";", "") == "".join(text.split()).replace(";", "")
    assert one_line(line) == line
    assert len(one_line(text, longest)) <= longest + len("...")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Connection refused\n\tIs the server running?\n", "Connection refused; Is the server running?"),
        ("Is it?\nNo", "Is it? No"),
        ("the container is\nmarked for removal", "the container is marked for removal"),
        ("\n \n", ""),
    ],
)
def test_sentences_on_lines_of_their_own_are_divided(text: str, line: str) -> None:
    """A line that was only wrapped is not."""
    assert one_line(text) == line
