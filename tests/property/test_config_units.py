"""Durations, percentages and rates survive being written and read again."""

from __future__ import annotations

import re
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from remediator.config import units
from remediator.core.policy import Rate
from remediator.core.text import duration as for_people
from remediator.ports import KEPT

SPANS = st.timedeltas(min_value=timedelta(0), max_value=units.LONGEST)


@given(SPANS)
def test_a_duration_survives(span: timedelta) -> None:
    """To the microsecond."""
    text = units.format_duration(span)
    assert units.parse_duration(text) == span
    assert re.fullmatch(units.DURATION_PATTERN, text)


@given(st.integers(0, 365 * 86400).map(lambda seconds: timedelta(seconds=seconds)))
def test_what_people_are_shown_can_be_written_in_the_file(span: timedelta) -> None:
    """Logs round durations, but in a form that the file takes."""
    assert timedelta(0) <= span - units.parse_duration(for_people(span)) <= span / 20


@given(st.integers(1, 1_000_000))
def test_a_percentage_survives(parts: int) -> None:
    """To four decimals, without the noise of binary fractions."""
    ratio = parts / 1_000_000
    assert units.parse_percent(units.format_percent(ratio)) == ratio


@given(st.integers(0, units.MOST), st.timedeltas(min_value=timedelta(microseconds=1), max_value=KEPT))
def test_a_rate_survives(count: int, per: timedelta) -> None:
    """Any count per any time."""
    rate = Rate(count, per)
    assert units.parse_rate(units.format_rate(rate)) == rate


@given(st.text(alphabet="0123456789.dhms %-+e٣²per", max_size=12) | st.text(max_size=30))
def test_anything_else_is_refused_by_name(text: str) -> None:
    """Digits of other scripts, exponents, signs: a message, never another error."""
    for parse in (units.parse_duration, units.parse_percent, units.parse_rate, units.parse_count):
        try:
            parse(text)
        except ValueError as error:
            assert re.match(r"(is|has) ", str(error))  # noqa: PT017  either outcome is right
