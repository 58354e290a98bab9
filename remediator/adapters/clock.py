"""The only reader of wall-clock and monotonic time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from remediator.core.model import Moment

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Unlike the monotonic clock it goes on while the machine sleeps.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._boot = _boot_id() if _SINCE_BOOT is not None else ""

    def now(self) -> Moment:
        """Read all clocks."""
        uptime = time.clock_gettime(_SINCE_BOOT) if _SINCE_BOOT is not None else 0.0
        return Moment(datetime.now(UTC), time.monotonic(), self._boot, uptime)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
