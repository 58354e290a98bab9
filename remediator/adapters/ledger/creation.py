"""Making a new ledger where there is none, whole or not at all, and never over the remains of an old one."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from remediator.adapters.ledger.connection import Connection
from remediator.adapters.ledger.schema import fill
from remediator.adapters.place import create_private
from remediator.adapters.sqlite import connect
from remediator.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def absent(path: Path) -> bool:
    """Tell whether there is no ledger: no file, or an empty one.

    Raises:
        LedgerError: There is something else, or a write-ahead log whose file is gone.
        OSError: It cannot be told.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        size = 0
    else:
        if not stat.S_ISREG(status.st_mode):
            raise LedgerError(f"ledger {path}: is not a regular file; move it away, or set another state_dir")
        size = status.st_size
    log = path.with_name(f"{path.name}-wal")
    if size == 0 and log.exists() and log.stat().st_size > 0:
        # SQLite would delete the log of an empty file, and replay it into a new one.
        raise LedgerError(
            f"ledger {path}: is missing or empty, but {log.name} has records; they are left as they are: "
            "restore both from a backup, or move both away to start a new one, with empty budgets"
        )
    return size == 0


def create(path: Path) -> None:
    """Make an empty ledger, unless another process did it first.

    It gets its name when it is complete, so that nobody meets half of it, whenever we are killed.

    Raises:
        OSError: The directory cannot be written.
        sqlite3.Error: The file cannot be written.
    """
    with _alone_in(path.parent) as directory:
        if not absent(path):
            return
        new = path.with_name(f"{path.name}.new")
        for suffix in ("", "-journal", "-wal", "-shm"):
            new.with_name(new.name + suffix).unlink(missing_ok=True)
        create_private(new)
        with closing(connect(new, "rw", Connection)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            fill(connection)
        new.replace(path)
        os.fsync(directory)


@contextmanager
def _alone_in(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
