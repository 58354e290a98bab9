"""One straight line: sample, assess, decide, intend, act, verify, conclude. No policy in here."""

from __future__ import annotations

from remediator.cycle.cycle import Cycle, Turn
from remediator.cycle.orphans import settle_orphans
from remediator.cycle.timekeeping import Timekeeper

__all__ = ["Cycle", "Timekeeper", "Turn", "settle_orphans"]
