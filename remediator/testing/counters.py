"""What a `FakeDatabase` counts of its sessions."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.server import Counters


@dataclass(slots=True)
class FakeCounters:
    """How many sessions began, and how those ended that did not simply leave, as since PostgreSQL 14."""

    begun: int = 0
    abandoned: int = 0
    fatal: int = 0
    killed: int = 0

    def read(self, version: int) -> Counters | None:
        """What a server of this version tells of it."""
        if version < 140_000:  # noqa: PLR2004
            return None
        return Counters(self.begun, self.abandoned, self.fatal, self.killed)
