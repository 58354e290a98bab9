"""Schema of the audits that the daemon makes."""

from __future__ import annotations

from typing import Annotated

from remediator.config.scalars import CRON, TIMEZONE, whole
from remediator.config.section import Section


class Audit(Section):
    """Audits that the daemon makes and keeps; each tells what has changed since the one before."""

    cron: Annotated[str, CRON] = "0 6 * * 1"
    """When: minute, hour, day of the month, month and weekday as in crontab. One that was missed because the
    daemon did not run is made up for."""
    timezone: Annotated[str, TIMEZONE] = "UTC"
    """Where `cron` holds: a name such as `Europe/Berlin`."""
    keep: Annotated[int, whole(1, 1000)] = 26
    """How many are kept, in `audits` of the state directory."""
