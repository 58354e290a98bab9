"""Lengths of time, percentages, counts and rates: from the text of the file and back, without loss."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from remediator.core.policy import Rate
from remediator.ports import KEPT

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,3})?"


def _spans(number: str) -> str:
    return rf"(?=[0-9])(?:{number}d)? ?(?:{number}h)? ?(?:{number}m(?!s))? ?(?:{number}s)? ?(?:{number}ms)?"


DURATION_PATTERN = _spans(_NUMBER)
PERCENT_PATTERN = r"[0-9]{1,3}(?:\.[0-9]{1,4})?%"
RATE_PATTERN = rf"[0-9]{{1,7}} per {DURATION_PATTERN}"
LONGEST = timedelta(days=365)
MOST = 1_000_000

SIZE_PATTERN = r"[0-9]{1,6}(?:\.[0-9]{1,3})?(?:kB|MB|GB)"
_SIZES = {"kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_DURATION = re.compile(_spans(f"({_NUMBER})"))
_MICROSECONDS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000)
_UNITS = ("d", "h", "m", "s", "ms")
_HOW = "write numbers with units d, h, m, s or ms, such as 500ms, 10s, 5m or 1h30m"


def parse_duration(text: str) -> timedelta:
    """Read a length of time such as `500ms`, `10s` or `1h30m`.

    Raises:
        ValueError: It is none, or longer than a year.
    """
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]+)?", text):
        raise ValueError(f"has no unit; {_HOW}")
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"is not a length of time; {_HOW}")
    parts = zip(match.groups(), _MICROSECONDS, strict=True)
    total = sum(Decimal(number) * size for number, size in parts if number)
    if total > LONGEST // timedelta(microseconds=1):
        raise ValueError("is too long; at most 365d is allowed")
    return timedelta(microseconds=int(total))


def format_duration(value: timedelta) -> str:
    """Write a length of time exactly, the way `parse_duration` reads it."""
    rest = value // timedelta(microseconds=1)
    parts = []
    for size, unit in zip(_MICROSECONDS[:-1], _UNITS[:-1], strict=True):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        parts.append(f"{Decimal(rest) / 1000}ms")
    return "".join(parts) or "0s"


def parse_percent(text: str) -> float:
    """Read a percentage above 0% and up to 100% as a ratio.

    Raises:
        ValueError: It is none, or out of that range.
    """
    if re.fullmatch(PERCENT_PATTERN, text):
        ratio = Decimal(text[:-1]) / 100
        if not 0 < ratio <= 1:
            raise ValueError("is out of range; more than 0% and at most 100% is allowed")
        return float(ratio)
    hint = ""
    if re.fullmatch(r"[0-9]{1,3}", text) and 0 < int(text) <= 100:  # noqa: PLR2004  percent
        hint = f'; did you mean "{text}%"?'
    elif re.fullmatch(r"0?\.[0-9]{1,4}|1\.0", text):
        hint = f'; did you mean "{format_percent(float(text))}"?'
    raise ValueError(f"is not a percentage; write a number and %, such as 50%{hint}")


def format_percent(ratio: float) -> str:
    """Write a ratio the way `parse_percent` reads it."""
    return f"{ratio * 100:.10g}%"


def parse_count(text: str, least: int = 0, most: int = MOST) -> int:
    """Read a whole number within bounds.

    Raises:
        ValueError: It is none, or out of bounds.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise ValueError(f"is not a whole number from {least} to {most}")
    if text != str(int(text)):
        raise ValueError(f'has leading zeros, which some read as octal; did you mean "{int(text)}"?')
    return int(text)


def parse_rate(text: str) -> Rate:
    """Read a rate such as `1 per 30m`.

    Raises:
        ValueError: It is none.
    """
    count, per, span = text.partition(" per ")
    if not per:
        raise ValueError('is not a rate; write a number, "per" and a length of time, such as 1 per 30m')
    try:
        rate = Rate(parse_count(count), parse_duration(span))
    except ValueError as error:
        raise ValueError(f"is not a rate: a part of it {error}") from None
    if not rate.per:
        raise ValueError("is not a rate; the length of time must be above 0s")
    if rate.per > KEPT:
        kept = format_duration(KEPT)
        raise ValueError(f"looks back too far; at most {kept} is allowed, since older records may be gone")
    return rate


def format_rate(rate: Rate) -> str:
    """Write a rate the way `parse_rate` reads it."""
    return f"{rate.count} per {format_duration(rate.per)}"


class Size(int):
    """A number of bytes."""


def parse_size(text: str) -> Size:
    """Read a number of bytes such as `200MB`.

    Raises:
        ValueError: It is none.
    """
    if not re.fullmatch(SIZE_PATTERN, text):
        raise ValueError("is not a size; write a number and kB, MB or GB, such as 200MB")
    return Size(Decimal(text[:-2]) * _SIZES[text[-2:]])


def format_size(size: int) -> str:
    """Write a number of bytes the way `parse_size` reads it."""
    unit = next((u for u in ("GB", "MB") if size >= _SIZES[u]), "kB")
    return f"{Decimal(size) / _SIZES[unit]}{unit}"
