"""The connection to the SQLite file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remediator.core.ledger import Entry


class Connection(sqlite3.Connection):
    """A connection that remembers entries.

    Attributes:
        known: Concluded entries that the last load read, by id; they never change, and reading thousands
            of them anew in every cycle after a storm would be felt.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.known: dict[int, Entry] = {}
