"""The only reader of wall-clock and monotonic time."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from remediator.core.model import Moment


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Moment:
        """Read both clocks."""
        return Moment(at=datetime.now(UTC), mono=time.monotonic())
