"""The connection to the SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Do all of a block or, when it raises anything, nothing of it.

    Args:
        connection: Must not be in a transaction.
        begin: How to begin; plain `BEGIN` for one that only reads.

    Raises:
        sqlite3.Error: It cannot be begun, or not be made durable.
    """
    connection.execute(begin)
    committed = False
    try:
        yield
        connection.execute("COMMIT")
        committed = True
    finally:
        if not committed:
            with suppress(sqlite3.Error):  # what went wrong first is what is told
                connection.execute("ROLLBACK")
