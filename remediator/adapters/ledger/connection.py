"""The connection to the SQLite file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

    from remediator.core.ledger import Entry

# Seconds to wait for the transaction of another process: an operator's command beside the daemon.
_BUSY_TIMEOUT = 2.0


class Connection(sqlite3.Connection):
    """A connection that remembers entries.

    Attributes:
        known: Concluded entries that the last load read, by id; they never change, and reading thousands
            of them anew in every cycle after a storm would be felt.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.known: dict[int, Entry] = {}


def connect(path: Path, access: str) -> Connection:
    """Open an SQLite file that is there, without beginning transactions on our behalf.

    Args:
        path: The file.
        access: `ro` or `rw`.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={access}",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        factory=Connection,
    )
