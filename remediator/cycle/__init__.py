"""One straight line: sample, assess, decide, intend, act, verify, conclude. No policy in here."""

from __future__ import annotations

from remediator.cycle.attributing import Attributor
from remediator.cycle.cycle import Cycle
from remediator.cycle.standing import read_standing
from remediator.cycle.timekeeping import Timekeeper
from remediator.cycle.unwatched import settle_unwatched

__all__ = ["Attributor", "Cycle", "Timekeeper", "read_standing", "settle_unwatched"]
