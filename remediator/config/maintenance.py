"""Schema of maintenance windows."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from remediator.config.scalars import CRON, TIMEZONE, duration, text
from remediator.config.section import MINUTE, Section


class Maintenance(Section):
    """A window that comes again and again, in which nothing is done."""

    cron: Annotated[str, CRON]
    """When it begins: minute, hour, day of the month, month and weekday as in crontab."""
    for_: Annotated[timedelta, duration(MINUTE, timedelta(days=31))] = Field(
        alias="for", description="How long it lasts; `1m` to `31d`."
    )
    timezone: Annotated[str, TIMEZONE] = "UTC"
    """Where `cron` holds: a name such as `Europe/Berlin`."""
    reason: Annotated[str, text(r"[^\0]*")] = ""
    """Shown wherever the window is."""
