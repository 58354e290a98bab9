"""The SQLite file: opened with care, opened anew after trouble, never overwritten when not understood."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from remediator.adapters.ledger.connection import Connection
from remediator.adapters.ledger.creation import absent, create
from remediator.adapters.ledger.mark import Mark
from remediator.adapters.ledger.schema import VERSION, examine
from remediator.adapters.ledger.upgrading import upgrade
from remediator.adapters.place import check_state_dir, explain
from remediator.adapters.sqlite import connect, transaction
from remediator.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_T = TypeVar("_T")

_ADVICE = {
    "SQLITE_FULL": "no space left; make room, and it will be used again",
    "SQLITE_READONLY": "cannot be written; check the file system and the file's owner, "
    "and under systemd ReadWritePaths=",
    "SQLITE_CANTOPEN": "cannot be opened; check the directory and the file's owner",
    "SQLITE_BUSY": "another process keeps it busy; end that process",
    "SQLITE_IOERR": "the disk refused (full, over a quota, or failing); check the disk",
    "SQLITE_NOTADB": "is not a ledger; it is left as it is: put a sound copy back, or move it away together "
    "with its mark to start a new one",
    "SQLITE_CORRUPT": "is damaged; it is left as it is: put a sound copy back, or move it away together with "
    "its mark to start a new one, with empty budgets",
}

NAME = "ledger.db"

_Identity = tuple[tuple[int, int] | None, ...]


class LedgerFile:
    """A connection that mends itself; all methods must be called from one thread.

    Args:
        state_dir: Where the file is.
        read_only: Never write, not even to create the file.
    """

    def __init__(self, state_dir: Path, *, read_only: bool) -> None:
        self.path = state_dir / NAME
        self._state_dir = state_dir
        self._read_only = read_only
        self._connection: Connection | None = None
        self._identity: _Identity | None = None
        self._mark = Mark(self.path)

    def read(self, work: Callable[[Connection], _T], nothing: _T) -> _T:
        """Read in one transaction; `nothing` is the answer when there are no records and none may be made.

        Raises:
            LedgerError: The file cannot be used.
        """
        with self._guarded():
            connection = self._connected()
            return nothing if connection is None else self._transact(connection, "BEGIN", work)

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """Write in one durable transaction.

        Raises:
            LedgerError: The file cannot be used.
        """
        with self._guarded():
            connection = None if self._read_only else self._connected()
            if connection is None:
                raise LedgerError(f"ledger {self.path}: is open for reading only")
            return self._transact(connection, "BEGIN IMMEDIATE", lambda db: _count_after(work(db), db))

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except LedgerError:
            self.close()
            raise
        except (sqlite3.Error, OSError, ValueError) as error:
            # Whatever state the connection is in, a new one starts from what is on the disk.
            self.close()
            raise LedgerError(f"ledger {self.path}: {_explain(error)}") from error

    def _connected(self) -> Connection | None:
        if self._connection is None:
            return self._open()
        if self._identity in (None, self._identify()):
            return self._connection
        self.close()
        raise LedgerError(
            f"ledger {self.path}: it, or its log, was removed or replaced while in use; what is there now is "
            "looked at next"
        )

    def _open(self) -> Connection | None:
        if not self._read_only:
            check_state_dir(self._state_dir)
        missing = absent(self.path)
        if not self._read_only:
            self._mark.read(ledger_is_there=not missing)
        if missing:
            if self._read_only:
                return None
            create(self.path)
        # Looked at without the right to write: opening for writing may already change the file.
        with closing(connect(self.path, "ro", Connection)) as connection:
            version = examine(connection, self.path)
            if not self._read_only and version == VERSION:
                # Before the log is folded in: of one that is torn, what follows the tear must not be lost.
                self._mark.check(_revision(connection))
        connection = connect(self.path, "ro" if self._read_only else "rw", Connection)
        with ExitStack() as undo:
            undo.callback(connection.close)
            if version < VERSION:
                connection = _copied(connection) if self._read_only else connection
                upgrade(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 1048576")
            undo.pop_all()
        self._connection, self._identity = connection, None
        return connection

    def _transact(self, connection: Connection, begin: str, work: Callable[[Connection], _T]) -> _T:
        with transaction(connection, begin):
            if not self._read_only:
                self._mark.check(_revision(connection))
            result = work(connection)
            revision = _revision(connection)
        if not self._read_only:
            self._mark.note(revision)
        if self._identity is None:
            self._identity = self._identify()
        return result

    def _identify(self) -> _Identity:
        """Which files are there; the log's belong to them: records in a log that nobody finds are lost."""
        names = ("",) if self._read_only else ("", "-wal", "-shm")
        return tuple(_inode(self.path.with_name(self.path.name + suffix)) for suffix in names)


def _copied(connection: Connection) -> Connection:
    """A copy in memory, for whoever may not change the file."""
    copy = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    with closing(connection):
        connection.backup(copy)
    return copy


def _count_after(result: _T, connection: Connection) -> _T:
    connection.execute("UPDATE revision SET number = number + 1")
    return result


def _revision(connection: Connection) -> int:
    """How many transactions have written to the ledger."""
    (number,) = connection.execute("SELECT number FROM revision").fetchone()
    return int(number)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _explain(error: sqlite3.Error | OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return explain(error)
    name = getattr(error, "sqlite_errorname", "")
    advice = _ADVICE.get("_".join(name.split("_")[:2]))
    return f"{advice} ({error})" if advice else str(error)
