"""One straight line: sample, assess, decide, intend, act, verify, conclude. No policy in here."""

from __future__ import annotations

from remediator.cycle.cycle import Cycle
from remediator.cycle.orphans import settle_orphans
from remediator.cycle.timekeeping import Timekeeper
from remediator.cycle.turn import Turn, read_standing

__all__ = ["Cycle", "Timekeeper", "Turn", "read_standing", "settle_orphans"]
