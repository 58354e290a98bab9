"""Windows agree with a crontab that is read the plain way: minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.core.maintenance import Recurrence
from remediator.recurrence import check_cron, next_start, window_at

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
MINUTE = timedelta(minutes=1)


@st.composite
def fields(draw: st.DrawFn, least: int, most: int) -> tuple[str, frozenset[int]]:
    """A crontab field, and the values it means."""
    kind = draw(st.sampled_from(["all", "all", "one", "list", "range", "step"]))
    values = range(least, most + 1)
    match kind:
        case "all":
            return "*", frozenset(values)
        case "step":
            step = draw(st.integers(2, (most - least)))
            return f"*/{step}", frozenset(values[::step])
        case "range":
            first = draw(st.integers(least, most))
            last = draw(st.integers(first, most))
            return f"{first}-{last}", frozenset(range(first, last + 1))
        case _:
            chosen = draw(
                st.frozensets(st.sampled_from(values), min_size=1, max_size=1 if kind == "one" else 4)
            )
            return ",".join(map(str, sorted(chosen))), chosen


crons = st.tuples(*(fields(*bounds) for bounds in _BOUNDS))
# No clock changes within days of these moments in any of these zones.
moments = st.floats(0, 46).map(lambda days: datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=days))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu"])
lengths = st.integers(1, 600).map(lambda minutes: minutes * MINUTE)


def begins(cron: tuple[tuple[str, frozenset[int]], ...], at: datetime) -> bool:
    """Whether a crontab job would be started in this minute of its zone."""
    minutes, hours, days, months, weekdays = (values for _, values in cron)
    if at.minute not in minutes or at.hour not in hours or at.month not in months:
        return False
    in_month, in_week = at.day in days, (at.weekday() + 1) % 7 in weekdays
    either = not cron[2][0].startswith("*") and not cron[4][0].startswith("*")
    return in_month or in_week if either else in_month and in_week


@settings(deadline=None)  # it is the plain way that takes its time
@given(crons, zones, lengths, moments)
def test_it_is_in_force_when_one_of_its_starts_is_recent_enough(
    cron: tuple[tuple[str, frozenset[int]], ...], timezone: str, length: timedelta, at: datetime
) -> None:
    """And it says at least that start's end, never one that is past."""
    text = " ".join(field for field, _ in cron)
    try:
        check_cron(text)
    except ValueError:
        assert max(cron[2][1]) > 29
        return
    minute = at.replace(second=0, microsecond=0)
    recent = [
        start
        for back in range(length // MINUTE + 1)
        if at < (start := minute - back * MINUTE) + length
        and begins(cron, start.astimezone(ZoneInfo(timezone)))
    ]
    window = window_at([Recurrence(text, length, timezone)], at)
    assert (window is not None) == bool(recent)
    if window is not None:
        assert window.until > at
        assert window.until >= sorted(recent)[:200][-1] + length  # it looks no further


@given(
    st.integers(0, 23),
    st.integers(0, 59),
    lengths,
    st.sampled_from([datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)]),
    st.integers(-24 * 60, 48 * 60),
)
def test_over_a_change_of_the_clocks_each_day_has_one_window_of_full_length(
    hour: int, minute: int, length: timedelta, change: datetime, offset: int
) -> None:
    """Whatever moment it is looked at from, it is the same window."""
    daily = Recurrence(f"{minute} {hour} * * *", length, "Europe/Berlin")
    at = change + offset * MINUTE
    begin = next_start(daily, at).astimezone(UTC)
    assert begin > at
    assert begin - at <= timedelta(hours=25)
    for inside in (begin, begin + length / 2, begin + length - timedelta(microseconds=1)):
        window = window_at([daily], inside)
        assert window is not None
        assert window.until == begin + length
    assert window_at([daily], begin + length) is None
