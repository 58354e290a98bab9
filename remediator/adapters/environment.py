"""What a program that we start may know of our environment."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a command has no business to know: secrets, and the channel to the service manager that is ours.
_PRIVATE = (
    *("PG*", "REMEDIATOR_*", "*PASS*", "*TOKEN*", "*SECRET*", "*KEY*", "*CREDENTIAL*", "*DSN*"),
    *("*_URL", "NOTIFY_SOCKET", "WATCHDOG_*", "LISTEN_*", "JOURNAL_STREAM", "INVOCATION_ID"),
)


def public_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a command inherits: all but secrets and what is addressed to us alone."""
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatchcase(name.upper(), pattern) for pattern in _PRIVATE)
    }
