"""One straight line: sample, assess, decide, intend, act, verify, conclude. No policy in here."""

from __future__ import annotations

from remediator.cycle.cycle import Cycle, Turn
from remediator.cycle.orphans import settle_orphans

__all__ = ["Cycle", "Turn", "settle_orphans"]
