"""The configuration: found, read strictly, resolved, shown."""

from __future__ import annotations

from remediator.config.load import find, load
from remediator.config.schema import schema
from remediator.config.secret import MASK, Secret, UnreadSecret, revealing
from remediator.config.settings import (
    AuditSettings,
    CommandTarget,
    ComposeTarget,
    ConnectSettings,
    DatabaseSettings,
    LogSettings,
    NotifySettings,
    ServiceSettings,
    Settings,
    WebSettings,
)
from remediator.config.show import show

__all__ = [
    "MASK",
    "AuditSettings",
    "CommandTarget",
    "ComposeTarget",
    "ConnectSettings",
    "DatabaseSettings",
    "LogSettings",
    "NotifySettings",
    "Secret",
    "ServiceSettings",
    "Settings",
    "UnreadSecret",
    "WebSettings",
    "find",
    "load",
    "revealing",
    "schema",
    "show",
]
