"""Maintenance: when hands are kept off by appointment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A window that comes again and again.

    Attributes:
        cron: When it begins, in crontab's five fields.
        length: How long it lasts.
        timezone: Where the fields hold, as the time zone database names it.
        reason: Shown wherever the window is.
    """

    cron: str
    length: timedelta
    timezone: str = "UTC"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """A window that is in force.

    Attributes:
        until: When it ends; another may begin there.
    """

    until: datetime
    reason: str = ""

    @property
    def end(self) -> str:
        """Until when, in words."""
        return f"until {self.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    @property
    def text(self) -> str:
        """Until when and why, in words."""
        return f"{self.end}: {self.reason}" if self.reason else self.end
