"""The SQLite file of readings: opened with care, set aside when it cannot be used, never in the way."""

from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING

from remediator.adapters.place import create_private, explain
from remediator.adapters.sqlite import connect, transaction
from remediator.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "recording.db"
ASIDE = "recording.db.aside"
VERSION = 1
APPLICATION = 0x726D7263  # "rmrc": tells `file` and us that an SQLite file is a recording

_STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
_BROKEN = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

# Times are microseconds since 1970: `at` of the wall clock, `steady` of the ledger's.
_STATEMENTS = (
    f"""CREATE TABLE reading (
        id INTEGER PRIMARY KEY,
        mode TEXT NOT NULL,
        database TEXT NOT NULL,
        at INTEGER NOT NULL,
        steady INTEGER NOT NULL,
        used INTEGER NOT NULL,
        story TEXT,
        marked INTEGER NOT NULL,
        record BLOB NOT NULL,
        deliberation BLOB
    ){_STRICT}""",
    f"""CREATE TABLE deposition (
        id INTEGER PRIMARY KEY,
        mode TEXT NOT NULL,
        replica TEXT NOT NULL,
        at INTEGER NOT NULL,
        record BLOB NOT NULL
    ){_STRICT}""",
    "CREATE INDEX deposition_by_replica ON deposition (replica, at)",
    "CREATE INDEX reading_by_time ON reading (database, mode, at, used)",
    "CREATE INDEX reading_by_age ON reading (steady, database, mode, story, marked)",
    "CREATE INDEX reading_by_story ON reading (story, mode) WHERE story IS NOT NULL",
)


class ForeignError(RecordingError):
    """What is there is not a recording of this version."""


def present(path: Path) -> bool:
    """Tell whether the file is there.

    Raises:
        ForeignError: Something else is: what it leads to is not looked at.
        OSError: The directory cannot be used.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ForeignError("is not a regular file")
    except FileNotFoundError:
        return False
    return True


def open_for_writing(state_dir: Path) -> sqlite3.Connection:
    """Open the recording, made if there is none.

    Raises:
        ForeignError: What is there is not a recording of this version; it may be set aside.
        sqlite3.Error: It cannot be used, for now or because it is damaged.
        OSError: The directory cannot be used.
    """
    path = state_dir / NAME
    present(path)
    create_private(path)
    connection = connect(path, "rw", sqlite3.Connection)
    try:
        if path.stat().st_size == 0:
            _fill(connection)
        examine(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 1048576")
    except BaseException:  # whatever it was, nobody else would close it
        connection.close()
        raise
    return connection


def examine(connection: sqlite3.Connection) -> None:
    """Make sure that this is a recording that we can read.

    Raises:
        ForeignError: It is something else, or of another version.
        sqlite3.Error: It cannot be read.
    """
    if number(connection, "PRAGMA application_id") != APPLICATION:
        raise ForeignError("is an SQLite file, but not a recording")
    version = number(connection, "PRAGMA user_version")
    if version != VERSION:
        raise ForeignError(f"was written in format {version}; this version of remediator knows {VERSION}")


def hopeless(error: Exception) -> bool:
    """Tell whether what went wrong is the file's own fault, so that waiting does not help."""
    return isinstance(error, ForeignError) or getattr(error, "sqlite_errorname", "").startswith(_BROKEN)


def in_words(error: Exception) -> str:
    """Say for a person why the file cannot be used, without its path."""
    return explain(error) if isinstance(error, OSError) else str(error)


def set_aside(state_dir: Path) -> Path:
    """Move what is there out of the way, in the place of what was moved there before; return where it is.

    Raises:
        OSError: It cannot be moved.
    """
    aside = state_dir / ASIDE
    for suffix in ("-wal", "-shm"):
        (state_dir / f"{NAME}{suffix}").unlink(missing_ok=True)
    (state_dir / NAME).rename(aside)
    return aside


def number(connection: sqlite3.Connection, query: str) -> int:
    """Ask for a single number."""
    (found,) = connection.execute(query).fetchone()
    return int(found)


def _fill(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # room is given back as readings are forgotten
    connection.execute("PRAGMA journal_mode = WAL")
    with transaction(connection):
        for statement in _STATEMENTS:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
