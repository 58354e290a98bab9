"""Keeps a developer's environment out of the tests."""

from __future__ import annotations

import os

PREFIXES = ("REMEDIATOR_", "PG", "COMPOSE_")
NAMES = (
    "DATABASE_URL",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
)


def drop_inherited_settings() -> None:
    """Remove every variable that remediator, libpq or Docker would take a setting from."""
    for name in list(os.environ):
        if name.startswith(PREFIXES) or name in NAMES:
            del os.environ[name]
