"""Collecting what is wrong with a configuration, each mistake as one line that points at its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice

from remediator.errors import ConfigError

LIMIT = 100
"""Mistakes shown at most; a file with more is not a configuration."""

_ECHOED = re.compile(r"[\w .,%:+/-]{1,40}")
_KEY = re.compile(r"[A-Za-z0-9_.<-]{1,40}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file with line and column (from 1), or an environment variable.

    Attributes:
        source: The file's path, or `environment: NAME`.
        line: 0 when the place has no lines.
    """

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


def printable(text: str, limit: int = 200) -> str:
    """Make text safe to print on one line of a terminal."""
    shown = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def quoted(text: str) -> str | None:
    """Quote a value for a message; None when it looks like anything that had better not be shown."""
    return f'"{text}"' if _ECHOED.fullmatch(text) and "://" not in text else None


def key_name(key: str) -> str:
    """Name a key in a path; `?` for what cannot be meant as a key and may be a misplaced secret."""
    return key if _KEY.fullmatch(key) else "?"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The tail of a message that proposes the closest of the first hundred known words, or nothing."""
    close = closest(text, known)
    return f'; did you mean "{close}"?' if close else ""


def closest(text: str, known: Iterable[str]) -> str:
    """The closest of the first hundred known words, empty when none is close."""
    if len(text) > 40:  # noqa: PLR2004  longer than any word of ours
        return ""
    close = get_close_matches(text.lower(), list(islice(known, 100)), n=1)
    return close[0] if close else ""


@dataclass(slots=True)
class Problems:
    """The mistakes found so far.

    Args:
        source: The configuration file's path, for mistakes that have no line.
    """

    source: str
    _found: dict[tuple[bool, int, int, str], None] = field(default_factory=dict)

    def add(self, place: Place | None, where: str, text: str) -> None:
        """Note a mistake.

        Args:
            place: Where it was written; None for the file as a whole.
            where: The path of keys, such as `databases[0].connect.timeout`; may be empty.
            text: What is wrong and what is allowed.
        """
        place = place or Place(self.source)
        line = f"{place}: {where}: {text}" if where else f"{place}: {text}"
        self._found.setdefault((place.line == 0, place.line, place.column, line))

    @property
    def crowded(self) -> bool:
        """There are more already than will be shown, so no more effort is due for each."""
        return len(self._found) > LIMIT

    def __bool__(self) -> bool:
        return bool(self._found)

    def error(self) -> ConfigError:
        """The error that carries all mistakes, in the order of the file."""
        lines = [line for *_, line in sorted(self._found)]
        if len(lines) > LIMIT:
            lines[LIMIT:] = [f"{self.source}: and {len(lines) - LIMIT} more mistakes"]
        return ConfigError(tuple(lines))
