"""One straight line: sample, assess, decide, intend, act, verify, conclude. No policy in here."""

from __future__ import annotations

from remediator.cycle.cycle import Cycle, Turn

__all__ = ["Cycle", "Turn"]
