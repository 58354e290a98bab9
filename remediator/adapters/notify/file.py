"""The outbox's file: a copy of what is in memory, for after a crash.

One that is missing, full, damaged or read-only costs what a crash would lose, and nothing else.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

from remediator.adapters.notify.damper import Facts
from remediator.adapters.notify.message import Message
from remediator.adapters.sqlite import connect

NAME = "outbox.db"

_VERSION = 1
_PATIENCE = 1.0
_TRY_AGAIN = 30.0
_TABLES = ("message", "facts")
_SCHEMA = (
    "CREATE TABLE message (id INTEGER PRIMARY KEY, target TEXT NOT NULL, record TEXT NOT NULL)",
    "CREATE TABLE facts (target TEXT PRIMARY KEY, record TEXT NOT NULL)",
    f"PRAGMA user_version = {_VERSION}",
)
# The last one is what SQLite says of a table that is not there.
_UNREADABLE = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"})

Content = tuple[list[Message], dict[str, Facts]]
Connection = sqlite3.Connection
Work = Callable[[sqlite3.Connection], None]


class _UnreadableError(Exception):
    """The file is none of ours, or damaged."""


class OutboxFile:
    """A file that is brought up to date whenever it can be; all methods must be called from one thread.

    Args:
        state_dir: Where it is.
        learn: Given, once, what an earlier run left.
        content: Tells all that there is to be written.
        tell: Told once why it cannot be used, and with an empty text that it can be again.
    """

    def __init__(
        self,
        state_dir: Path,
        learn: Callable[[Content], None],
        content: Callable[[], Content],
        tell: Callable[[str], None],
    ) -> None:
        self._path = state_dir / NAME
        self._learn = learn
        self._content = content
        self._tell = tell
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._learned = False
        self._in_step = False
        self._trouble = ""
        self._next_try = 0.0

    def write(self, work: Work, mono: float) -> None:
        """Write a change, or all of it anew after the file could not be used; trouble is told, not raised.

        Args:
            work: Makes the change.
            mono: Now, on the monotonic clock.
        """
        if self._trouble and mono < self._next_try:
            return
        try:
            try:
                self._transact(work)
            except _UnreadableError as error:
                self._set_aside(str(error))
                self._transact(work)
        except (sqlite3.Error, OSError, _UnreadableError) as error:
            self.close()
            self._next_try = mono + _TRY_AGAIN
            self._say(_in_words(error, self._path))
        else:
            self._say("")

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        self._in_step = False
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _transact(self, work: Work) -> None:
        try:
            db = self._opened()
            db.execute("BEGIN IMMEDIATE")
            with db:
                if self._in_step:
                    work(db)
                else:
                    self._write_all(db)
            self._in_step = True
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") in _UNREADABLE:
                raise _UnreadableError(str(error)) from error
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._inode != _identity(self._path):
            self.close()
        if self._connection is None:
            _create_private(self._path)
            self._inode = _identity(self._path)
            self._connection = connect(self._path, "rw", sqlite3.Connection, patience=_PATIENCE)
            self._read(self._connection)
        return self._connection

    def _read(self, db: sqlite3.Connection) -> None:
        """Learn what is there, the first time; later on what we know ourselves is newer."""
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise _UnreadableError(f"its version is {version}, this remediator knows {_VERSION}")
        if self._learned:
            return
        try:
            content = _content(db) if version else ([], {})
        except (ValueError, TypeError, AttributeError) as error:
            raise _UnreadableError(f"a record in it cannot be read ({type(error).__name__})") from error
        self._learned = True
        self._learn(content)

    def _write_all(self, db: sqlite3.Connection) -> None:
        messages, facts = self._content()
        for table in _TABLES:
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _SCHEMA:
            db.execute(statement)
        insert(db, messages)
        keep_facts(db, facts)

    def _set_aside(self, why: str) -> None:
        self.close()
        self._path.replace(self._path.with_name(f"{NAME}.damaged"))
        self._path.with_name(f"{NAME}-journal").unlink(missing_ok=True)
        self._tell(f"{self._path}: {why}; moved to {NAME}.damaged, and a new one begun")

    def _say(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            self._tell(trouble)
        self._trouble = trouble


def insert(db: sqlite3.Connection, messages: Iterable[Message]) -> None:
    """Add messages, or replace those that have the same id."""
    rows = [(m.id, m.target, json.dumps(asdict(m))) for m in messages]
    db.executemany("INSERT OR REPLACE INTO message VALUES (?, ?, ?)", rows)


def delete(db: sqlite3.Connection, messages: Iterable[Message]) -> None:
    """Delete messages."""
    db.executemany("DELETE FROM message WHERE id = ?", [(m.id,) for m in messages])


def keep_facts(db: sqlite3.Connection, facts: Mapping[str, Facts]) -> None:
    """Keep what targets were told."""
    rows = [(target, json.dumps(told)) for target, told in facts.items()]
    db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)


def forget(db: sqlite3.Connection, target: str) -> None:
    """Delete all that there is of a target."""
    for table in _TABLES:
        db.execute(f"DELETE FROM {table} WHERE target = ?", (target,))  # noqa: S608  our own two names


def waiting(state_dir: Path) -> int:
    """Tell how many messages wait in the file; it is not changed.

    Raises:
        OSError: It could not be written; the message says so.
    """
    path = state_dir / NAME
    place = path if path.exists() else state_dir
    if not os.access(place, os.W_OK):
        raise OSError(f"{place} cannot be written")
    if place == state_dir:
        return 0
    try:
        with closing(connect(path, "ro", sqlite3.Connection, patience=_PATIENCE)) as db:
            (number,) = db.execute("SELECT count(*) FROM message").fetchone()
            return int(number)
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}; it is begun anew when it is needed") from error


def _content(db: sqlite3.Connection) -> Content:
    messages = [Message(**json.loads(r)) for (r,) in db.execute("SELECT record FROM message ORDER BY id")]
    facts = {target: json.loads(r) for target, r in db.execute("SELECT target, record FROM facts")}
    if not all(isinstance(told, dict) for known in facts.values() for told in known.values()):
        raise TypeError("facts that are none")
    return messages, facts


def _create_private(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("is not a regular file")
    finally:
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _in_words(error: Exception, path: Path) -> str:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return (
        f"{path}: {reason.lower()}; messages are sent all the same, but what waits would not survive a crash"
    )
