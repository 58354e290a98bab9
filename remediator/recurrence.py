"""When recurring windows are in force, through APScheduler's trigger."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from remediator.core.maintenance import Recurrence, Window

_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_SHOWN = ("minute", "hour", "day of the month", "month", "weekday")
# Crontab's 0 is Sunday, and so is its 7; APScheduler's 0 is Monday. Names mean the same to both.
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_HOW = "five fields are needed (minute, hour, day of the month, month, weekday), such as 0 3 * * sun"
# No change of the clocks is larger.
_LARGEST_SHIFT = timedelta(hours=3)
# How many starts within a window are looked at for its end: a window need not have one.
_MOST_STARTS = 200
# Long enough for any date to come at least once, the 29th of February included.
_TRIAL = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2009, 1, 1, tzinfo=UTC))
# Comes to all weekdays, most hours, and most minutes of the hour.
_LOOK_EVERY = timedelta(hours=3, minutes=31)
_TICK = timedelta(microseconds=1)


def check_cron(cron: str) -> None:
    """Make sure that this is a crontab expression, for a time that comes.

    Raises:
        ValueError: It is none; the message, which does not repeat it, says what is wrong.
    """
    fields = cron.lower().split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"is not a crontab expression; {_HOW}")
    for name, shown, field in zip(_FIELDS, _SHOWN, fields, strict=True):
        try:
            CronTrigger(**{name: _weekdays(field) if name == "day_of_week" else field}, timezone=UTC)
        except ValueError:
            raise ValueError(f"is not a crontab expression, for its {shown} is none; {_HOW}") from None
    if not _triggers(cron):
        raise ValueError("names a day that never comes")


def check_timezone(name: str) -> None:
    """Make sure that there is such a time zone.

    Raises:
        ValueError: There is none; the message does not repeat the name.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone; write a name such as UTC or Europe/Berlin") from None


def window_at(recurrences: Iterable[Recurrence], at: datetime) -> Window | None:
    """Tell whether one of these windows is in force, until when, and why.

    Args:
        recurrences: Windows that come again and again; their crons and time zones have been checked.
        at: Wall-clock time.
    """
    found = [window for one in recurrences if (window := _in_force(one, at)) is not None]
    if not found:
        return None
    reasons = dict.fromkeys(window.reason for window in found if window.reason)
    return Window(max(window.until for window in found), "; ".join(reasons))


def never_ends(recurrences: Sequence[Recurrence]) -> bool:
    """Tell whether windows leave no time free, as far as some looks through a week show.

    Args:
        recurrences: As for `window_at`.
    """
    return all(
        window_at(recurrences, _TRIAL[0] + _LOOK_EVERY * n) for n in range(timedelta(days=7) // _LOOK_EVERY)
    )


def next_start(recurrence: Recurrence, after: datetime) -> datetime:
    """Tell when a recurring window begins next, in UTC."""
    return next(_starts(recurrence, after))


def _in_force(recurrence: Recurrence, at: datetime) -> Window | None:
    window = _in_force_as_a_minute_begins(recurrence, at.replace(second=0, microsecond=0))
    return window if window is not None and at < window.until else None


@lru_cache(maxsize=256)  # asked several times with each check, while windows begin with a minute only
def _in_force_as_a_minute_begins(recurrence: Recurrence, at: datetime) -> Window | None:
    until = None
    for start in islice(_starts(recurrence, at - recurrence.length), _MOST_STARTS):
        if start > (until or at):
            break
        until = start + recurrence.length
    return None if until is None else Window(until, recurrence.reason)


def _starts(recurrence: Recurrence, after: datetime) -> Iterator[datetime]:
    """Every start after this time, in order, in UTC."""
    zone = ZoneInfo(recurrence.timezone)
    every_hour = recurrence.cron.split()[1].startswith("*")
    begin = (after - _LARGEST_SHIFT).astimezone(zone).replace(tzinfo=UTC)
    for start in merge(*(_instants(t, begin, zone, again=every_hour) for t in _triggers(recurrence.cron))):
        if start > after:
            yield start


def _instants(trigger: CronTrigger, begin: datetime, zone: ZoneInfo, *, again: bool) -> Iterator[datetime]:
    """The times of a trigger that goes by a wall clock, in UTC.

    One that the clocks skip comes as much later. One that comes twice, as clocks go back, counts once, as
    with cron.

    Args:
        trigger: The trigger; it takes the wall clock's times for UTC, for a change of the clocks makes
            it miss days.
        begin: A time of the wall clock.
        zone: Where the wall clock hangs.
        again: What comes twice counts twice.
    """
    repeated: deque[datetime] = deque()
    while True:
        wall = trigger.get_next_fire_time(None, begin)
        begin = wall + _TICK
        first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        while repeated and repeated[0] < first:
            yield repeated.popleft()
        yield first
        if again and second > first:
            repeated.append(second)


@lru_cache(maxsize=256)
def _triggers(cron: str) -> Sequence[CronTrigger]:
    """The triggers of an expression that ever fire.

    There are two when day and weekday are both given, for crontab means either.
    """
    minute, hour, day, month, weekday = cron.lower().split()
    days = [(day, weekday)]
    if not day.startswith("*") and not weekday.startswith("*"):
        days = [(day, "*"), ("*", weekday)]
    found = (
        CronTrigger(minute=minute, hour=hour, day=d, month=month, day_of_week=_weekdays(w), timezone=UTC)
        for d, w in days
    )
    return tuple(trigger for trigger in found if _fires(trigger))


def _fires(trigger: CronTrigger) -> bool:
    """Whether a trigger ever fires; to look for a time that never comes would take long."""
    begin, trigger.end_date = _TRIAL
    fires = trigger.get_next_fire_time(None, begin) is not None
    trigger.end_date = None
    return fires


def _weekdays(field: str) -> str:
    """A weekday field by names, in which crontab and APScheduler agree."""
    if field == "*":
        return field
    numbers = sorted({number for part in field.split(",") for number in _weekday_numbers(part)})
    return ",".join(_WEEKDAYS[number] for number in numbers)


def _weekday_numbers(part: str) -> Iterator[int]:
    span, _, step = part.partition("/")
    first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
    begin = _weekday_number(first)
    end = _weekday_number(last) if dash else begin
    if "/" in part and not dash:
        raise ValueError("a step needs a range")
    every = int(step) if "/" in part else 1
    if not 0 < every <= len(_WEEKDAYS):
        raise ValueError("a step out of range")
    # Some write fri-sun or sat-mon, and mean the days in between.
    return (number % 7 for number in range(begin, end + 1 if end >= begin else end + 8, every))


def _weekday_number(word: str) -> int:
    if word in _WEEKDAYS:
        return _WEEKDAYS.index(word)
    number = int(word) if word.isascii() and word.isdigit() else -1
    if not 0 <= number <= len(_WEEKDAYS):
        raise ValueError("no weekday")
    return number
