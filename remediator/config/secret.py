"""Secrets: values that show themselves only when asked by name."""

from __future__ import annotations

import re
from hmac import compare_digest
from typing import NoReturn, Self
from urllib.parse import unquote

MASK = "********"

_SEPARATORS = re.compile(r"[/?&=@:#,]+")
_SHORTEST_PART = 8
_ORDINARY = re.compile(r"[a-z_.-]{1,15}|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[a-z]{2,}|[0-9.]+")


class Secret:
    """A value that no log line, message, traceback or dump shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


class UnreadSecret(Secret):
    """One in a file that was left alone: who loaded the settings said that no secret is needed."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("")

    def reveal(self) -> NoReturn:
        """There is nothing to show.

        Raises:
            RuntimeError: Always; an empty value would look like a wrong one to whom it is sent.
        """
        raise RuntimeError("a secret is used that was not read: load the settings with secrets=True")


def revealing(url: Secret) -> tuple[Secret, ...]:
    """A secret URL and those of its parts that give access: whoever fails to use it may repeat only one.

    Short parts, plain words and host names are left out, since masking them would blacken innocent text.
    Of one that was not read there is nothing that could be repeated.
    """
    if isinstance(url, UnreadSecret):
        return ()
    whole = url.reveal()
    userinfo = whole.partition("://")[2].rpartition("@")[0]
    parts = set(_SEPARATORS.split(whole.partition("://")[2]))
    told = {p for p in parts if len(p) >= _SHORTEST_PART and not _ORDINARY.fullmatch(p)}
    told |= {userinfo.partition(":")[2]} - {""}
    both = sorted({whole, *told, *(unquote(part) for part in told)})
    return tuple(Secret(value) for value in both)
