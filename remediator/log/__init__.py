"""Logging: JSON lines for machines, a readable line for a person's terminal, one pipeline for all."""

from __future__ import annotations

from remediator.log.outlet import Gap, Outlet
from remediator.log.pipeline import (
    ERROR_PREFIX,
    LogFormat,
    LogObserver,
    configure,
    in_background,
    is_journal,
    learn,
)
from remediator.log.redact import Redactor

__all__ = [
    "ERROR_PREFIX",
    "Gap",
    "LogFormat",
    "LogObserver",
    "Outlet",
    "Redactor",
    "configure",
    "in_background",
    "is_journal",
    "learn",
]
