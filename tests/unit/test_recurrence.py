"""When recurring windows are in force: weekdays as crontab numbers them, clocks that change, overlaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from remediator.core.maintenance import Recurrence, Window
from remediator.recurrence import check_cron, check_timezone, never_ends, next_start, window_at

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)  # a Sunday


def utc(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(cron: str, timezone: str, begin: datetime, number: int) -> list[str]:
    """The next starts, in UTC."""
    found = []
    for _ in range(number):
        begin = next_start(Recurrence(cron, HOUR, timezone), begin)
        found.append(f"{begin.astimezone(UTC):%a %m-%d %H:%M}")
    return found


def spans(one: Recurrence, begin: datetime, hours: int) -> list[str]:
    """From when until when it is in force, as seen by looking every minute."""
    found: list[list[datetime]] = []
    for minute in range(hours * 60):
        at = begin + minute * MINUTE
        if window_at([one], at) is None:
            continue
        if found and found[-1][1] == at:
            found[-1][1] = at + MINUTE
        else:
            found.append([at, at + MINUTE])
    return [f"{first:%d %H:%M} to {last:%d %H:%M}" for first, last in found]


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("sun", "Sun"),
        ("SUN", "Sun"),
        ("1", "Mon"),
        ("6", "Sat"),
        ("sat", "Sat"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("mon-fri", "Mon Tue Wed Thu Fri"),
        ("0-6", "Sun Mon Tue Wed Thu Fri Sat"),
        ("1-7", "Sun Mon Tue Wed Thu Fri Sat"),
        ("*", "Sun Mon Tue Wed Thu Fri Sat"),
        ("5-7", "Sun Fri Sat"),
        ("fri-sun", "Sun Fri Sat"),
        ("6-1", "Sun Mon Sat"),
        ("0,3", "Sun Wed"),
        ("2,thu", "Tue Thu"),
        ("*/2", "Sun Tue Thu Sat"),
        ("1-5/2", "Mon Wed Fri"),
    ],
)
def test_weekdays_are_those_of_crontab(weekday: str, days: str) -> None:
    """0 and 7 are Sunday; APScheduler by itself takes 0 for Monday."""
    wanted = days.split()
    found = starts(f"0 3 * * {weekday}", "UTC", NOVEMBER, len(wanted))
    assert [start.split()[0] for start in found] == wanted


def test_a_day_and_a_weekday_mean_either_as_in_crontab() -> None:
    """Unless one of them begins with an asterisk."""
    assert starts("0 3 4 * 1", "UTC", NOVEMBER, 3) == [
        "Mon 11-02 03:00",
        "Wed 11-04 03:00",
        "Mon 11-09 03:00",
    ]
    assert starts("0 3 */2 * 1", "UTC", NOVEMBER, 2) == ["Mon 11-09 03:00", "Mon 11-23 03:00"]
    both = Recurrence("0 3 2 * mon", HOUR)
    assert window_at([both], utc("2026-11-02T03:30")) == Window(utc("2026-11-02T04:00"))


def test_it_begins_and_ends_to_the_instant() -> None:
    """The start belongs to it, the end does not."""
    one = Recurrence("0 3 * * sun", 2 * HOUR, reason="deploy")
    begin = utc("2026-11-01T03:00")
    assert window_at([one], begin - TICK) is None
    assert window_at([one], begin) == Window(begin + 2 * HOUR, "deploy")
    assert window_at([one], begin + 2 * HOUR - TICK) == Window(begin + 2 * HOUR, "deploy")
    assert window_at([one], begin + 2 * HOUR) is None
    assert window_at([one], begin + timedelta(days=1)) is None
    assert window_at([], begin) is None


def test_it_spans_midnight() -> None:
    """A weekday is that of the start."""
    one = Recurrence("30 23 * * sat", 2 * HOUR, BERLIN)
    assert spans(one, utc("2026-11-07T12:00"), 48) == ["07 22:30 to 08 00:30"]


def test_overlapping_windows_are_one() -> None:
    """Their own repetitions, and those of others; every reason is told once."""
    often = Recurrence("0,30 3 * * *", HOUR, reason="backup")
    assert spans(often, utc("2026-11-02T00:00"), 12) == ["02 03:00 to 02 04:30"]
    at = utc("2026-11-02T03:10")
    assert window_at([often], at) == Window(utc("2026-11-02T04:30"), "backup")
    others = [often, Recurrence("5 3 * * *", 3 * HOUR, reason="deploy"), Recurrence("0 3 * * *", HOUR)]
    assert window_at([*others, often], at) == Window(utc("2026-11-02T06:05"), "backup; deploy")


def test_one_that_never_ends_is_in_force_at_any_time() -> None:
    """And is judged in a moment all the same; its end is then but the next that is sure."""
    always = Recurrence("* * * * *", timedelta(days=31))
    at = utc("2026-11-02T03:10")
    window = window_at([always], at)
    assert window is not None
    assert window.until > at


def test_windows_that_leave_no_time_are_known() -> None:
    """One after the other, or together; two hours of a week are time."""
    assert never_ends([Recurrence("* * * * *", timedelta(minutes=1))])
    assert never_ends([Recurrence("0 0 * * *", timedelta(days=1), BERLIN)])
    day, night = Recurrence("0 8 * * *", 12 * HOUR), Recurrence("0 20 * * *", 12 * HOUR)
    assert never_ends([day, night])
    assert not never_ends([day])
    assert not never_ends([])
    assert not never_ends([Recurrence("0 * * * *", timedelta(minutes=45))])
    assert not never_ends([Recurrence("0 4 * * mon", timedelta(days=6, hours=20))])


def test_it_follows_the_zone_over_the_year() -> None:
    """Three in the morning is another time of the world in summer."""
    assert starts("0 3 1 1,7 *", BERLIN, NOVEMBER, 2) == ["Fri 01-01 02:00", "Thu 07-01 01:00"]
    assert starts("0 3 1 1,7 *", NEW_YORK, NOVEMBER, 2) == ["Fri 01-01 08:00", "Thu 07-01 07:00"]
    assert starts("0 3 1 1,7 *", "Asia/Kolkata", NOVEMBER, 2) == ["Thu 12-31 21:30", "Wed 06-30 21:30"]


def test_when_clocks_go_forward_it_lasts_as_long_as_it_says() -> None:
    """From 01:00 to 04:00 by the clock are two hours that day."""
    night = utc("2026-03-28T18:00")
    assert spans(Recurrence("0 1 * * *", 2 * HOUR, BERLIN), night, 12) == ["29 00:00 to 29 02:00"]
    assert spans(Recurrence("0 3 * * *", HOUR, BERLIN), night, 12) == ["29 01:00 to 29 02:00"]


def test_a_start_that_the_clocks_skip_comes_later_and_is_not_lost() -> None:
    """Half past two does not exist that night: half past three it is. Seen from any later moment alike."""
    one = Recurrence("30 2 * * *", HOUR, BERLIN)
    assert spans(one, utc("2026-03-28T18:00"), 12) == ["29 01:30 to 29 02:30"]
    long = Recurrence("30 2 29 3 *", 10 * HOUR, BERLIN)
    ends = {window_at([long], utc("2026-03-29T01:30") + n * MINUTE) for n in range(600)}
    assert ends == {Window(utc("2026-03-29T11:30"))}


def test_when_clocks_go_back_the_hour_that_comes_twice_counts_once() -> None:
    """Half past two is at 00:30 and at 01:30 UTC; the window is that of the first."""
    one = Recurrence("30 2 * * *", HOUR, BERLIN)
    assert spans(one, utc("2026-10-24T18:00"), 12) == ["25 00:30 to 25 01:30"]
    assert starts("30 2 * * *", BERLIN, utc("2026-10-25T00:30"), 1) == ["Mon 10-26 01:30"]
    assert starts("0 3 * * *", BERLIN, utc("2026-10-25T01:10"), 2) == ["Sun 10-25 02:00", "Mon 10-26 02:00"]
    assert starts("30 1 * * *", NEW_YORK, NOVEMBER, 2) == ["Sun 11-01 05:30", "Mon 11-02 06:30"]


def test_when_clocks_go_back_every_hour_is_every_hour() -> None:
    """Without a hole in the hour that comes again."""
    hourly = Recurrence("0 * * * *", timedelta(minutes=20), BERLIN)
    assert spans(hourly, utc("2026-10-24T23:30"), 3) == [
        "25 00:00 to 25 00:20",
        "25 01:00 to 25 01:20",
        "25 02:00 to 25 02:20",
    ]


def test_a_look_from_within_the_repeated_hour_sees_the_same_future() -> None:
    """Also the next skipped hour, half a year later."""
    skipped = Recurrence("30 2 28 3 *", HOUR, BERLIN)
    inside = datetime(2026, 10, 25, 2, 10, tzinfo=ZoneInfo(BERLIN), fold=1)
    assert next_start(skipped, inside).astimezone(UTC) == utc("2027-03-28T01:30")


@pytest.mark.parametrize(
    "cron",
    [
        *("", "0 3 * *", "0 3 * * * *", "@daily", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *"),
        *("* * * 13 *", "* * * * 8", "* * * * funday", "* * * * 1/2", "* * * * */0", "* * * * */x"),
        *("a * * * *", "*/0 * * * *", "5-1 * * * *", "* * * * -1", "* * * * 1,", "1.5 * * * *"),
        f"{'1' * 6000} * * * *",
    ],
)
def test_what_is_no_crontab_expression_is_refused(cron: str) -> None:
    """With a sentence that does not repeat it."""
    with pytest.raises(ValueError, match="is not a crontab expression") as refused:
        check_cron(cron)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("cron", ["0 0 31 2 *", "0 0 30,31 feb *", "0 0 31 4,6,9,11 *"])
def test_a_day_that_never_comes_is_refused(cron: str) -> None:
    """Nobody means that."""
    with pytest.raises(ValueError, match="never comes"):
        check_cron(cron)


@pytest.mark.parametrize(
    "cron", ["0 0 29 2 *", "0 0 31 2 mon", "*/5 1-3,22 1,15 jan-mar MON-FRI", " 0  3\t* * 0 "]
)
def test_what_crontab_allows_is_allowed(cron: str) -> None:
    """However rare, and however it is spaced."""
    check_cron(cron)
    assert next_start(Recurrence(cron, HOUR), NOVEMBER) > NOVEMBER


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Berlni", "../etc/passwd", "/etc/localtime", "a\0b", "x" * 5000]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    """Directories and paths of the time zone database among them."""
    with pytest.raises(ValueError, match="is not a time zone"):
        check_timezone(name)
