"""How quantities are written for people, in logs, plans and error messages alike."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import lru_cache

_MARKS = ".,:;!?"
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


@lru_cache(maxsize=1024)
def duration(value: timedelta | float) -> str:
    """Write a length of time the way the config file writes it: `10m`, `1h 30m`, `2.5s`.

    Args:
        value: A timedelta, or seconds.
    """
    exact = value.total_seconds() if isinstance(value, timedelta) else float(value)
    seconds = round(abs(exact), 1)
    if exact < 0 < seconds:
        return f"-{duration(seconds)}"
    if seconds < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    whole = round(seconds)
    parts = []
    for unit, size in _UNITS:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    if whole:
        parts.append(f"{whole}s")
    return " ".join(parts[:2])


def durations(values: Collection[float]) -> str:
    """Lengths of time as one, or from the shortest to the longest where that can be told apart.

    Args:
        values: Seconds, at least one.
    """
    low, high = duration(min(values)), duration(max(values))
    return low if low == high else f"{low} to {high}"


@lru_cache(maxsize=1024)
def percent(ratio: float) -> str:
    """Write a ratio as a percentage with at most one decimal: 0.5 is `50%`, 0.958 is `95.8%`."""
    return f"{ratio * 100:.1f}".rstrip("0").rstrip(".") + "%"


def one_line(text: str, longest: int | None = None) -> str:
    """Make one line of what a server, an engine or a library says in several.

    Args:
        text: What it says; where a line begins a sentence, a semicolon divides it from the one before.
        longest: After how many characters it is cut.
    """
    lines = [" ".join(line.split()) for line in text.splitlines()]
    said = ""
    for line in filter(None, lines):
        begins = said != "" and line[0].isupper() and said[-1] not in _MARKS
        said += f"{'; ' if begins else ' ' if said else ''}{line}"
    return said if longest is None or len(said) <= longest else f"{said[:longest]}..."


def visible(text: str) -> str:
    r"""Write text from outside, such as names of roles, as one line in which everything can be seen.

    What could steer a terminal, break the line or turn the direction of writing becomes an escape such as
    `\x1b`, `\n` or `\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun: `1 session`, `2 sessions`."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
