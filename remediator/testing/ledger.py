"""A ledger in memory, for tests of what uses one."""

from __future__ import annotations

from remediator.memory import MemoryLedger

__all__ = ["MemoryLedger"]
