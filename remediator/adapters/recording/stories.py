"""Which readings belong to an incident's story: those of it, and those shortly before and after."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from remediator.core.reading import Reading

_MICROSECOND = timedelta(microseconds=1)
_BEFORE = timedelta(minutes=10) // _MICROSECOND
_AFTER = timedelta(minutes=10) // _MICROSECOND

_LATEST = """
    SELECT story, steady FROM reading WHERE database = ? AND mode = ? AND story IS NOT NULL
    ORDER BY steady DESC LIMIT 1"""
_CLAIM = """
    UPDATE reading SET story = ?
    WHERE steady >= ? AND database = ? AND mode = ? AND story IS NULL"""


@dataclass(slots=True)
class Stories:
    """Knows of each database the latest incident, and when it was last seen open."""

    _latest: dict[str, tuple[str, int]] = field(default_factory=dict)

    def of(self, connection: sqlite3.Connection, reading: Reading, steady: int) -> str | None:
        """Tell whose story a new reading belongs to; an incident that begins claims those before it.

        Args:
            connection: In a transaction.
            reading: The reading.
            steady: Its time on the ledger's clock, in microseconds.

        Raises:
            sqlite3.Error: The file cannot be used.
        """
        where = reading.database, reading.mode.value
        if reading.database not in self._latest:
            found = connection.execute(_LATEST, where).fetchone()
            self._latest[reading.database] = found or ("", steady - _AFTER - 1)
        story, last = self._latest[reading.database]
        if reading.incident is None:
            return story if 0 <= steady - last <= _AFTER else None
        if reading.incident.id != story:
            connection.execute(_CLAIM, (reading.incident.id, steady - _BEFORE, *where))
        self._latest[reading.database] = reading.incident.id, steady
        return reading.incident.id
