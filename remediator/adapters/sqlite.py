"""SQLite files of the state directory: how they are opened, and all or nothing."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


def connect(path: Path, access: str, factory: type[_Connection], *, patience: float = 2.0) -> _Connection:
    """Open an SQLite file that is there, without beginning transactions on our behalf.

    Args:
        path: The file.
        access: `ro` or `rw`.
        factory: The class of the connection.
        patience: Seconds to wait for the transaction of another process, such as an operator's command
            beside the daemon.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={access}",
        uri=True,
        timeout=patience,
        isolation_level=None,
        factory=factory,
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
