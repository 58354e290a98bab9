"""The ledger in an SQLite file, and the lock that lets one daemon act per state directory."""

from __future__ import annotations

from remediator.adapters.ledger.lock import LateLock, StateLock
from remediator.adapters.ledger.store import SqliteLedger, has_ledger

__all__ = ["LateLock", "SqliteLedger", "StateLock", "has_ledger"]
