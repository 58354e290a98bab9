"""What the status page shows, as plain values: now, the last hours, incidents, what would be done."""

from __future__ import annotations

from remediator.status.archive import told_by
from remediator.status.desk import Desk, Facts
from remediator.status.memory import Memory, Point

__all__ = ["Desk", "Facts", "Memory", "Point", "told_by"]
