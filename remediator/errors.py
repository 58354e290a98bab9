"""Errors, classed by what whoever meets them must do; each message is one line for a person."""

from __future__ import annotations


class RemediatorError(Exception):
    """Root of all errors that remediator raises on purpose."""


class ConfigError(RemediatorError):
    """The configuration is wrong and only an edit can mend it.

    Args:
        problems: One line per mistake: `file:line:column: where: what, what is allowed`.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnavailableError(RemediatorError):
    """A neighbour (PostgreSQL, Docker) did not answer or is not ready; try again later."""


class RejectedError(RemediatorError):
    """A neighbour understood the request and refused it; trying again will not help."""


class LedgerError(RemediatorError):
    """The ledger cannot be read or written; nothing may be done until it can."""


class RecordingError(RemediatorError):
    """What was recorded cannot be read; nothing that is done depends on it."""


class BusyError(RemediatorError):
    """Another daemon holds the state directory; only one may act."""
