"""The tables, and telling a ledger from what is not one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from remediator.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
APPLICATION = 0x726D6564  # "rmed": tells `file` and us that an SQLite file is a ledger

_STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
_MODE = "mode TEXT NOT NULL CHECK (mode IN ('dry-run', 'enforce'))"

_STATEMENTS = (
    f"""CREATE TABLE incident (
        {_MODE},
        id TEXT NOT NULL,
        opened_at TEXT NOT NULL,
        closed_at TEXT,
        record TEXT NOT NULL,
        PRIMARY KEY (mode, id)
    ){_STRICT}""",
    "CREATE INDEX incident_by_time ON incident (mode, opened_at)",
    "CREATE INDEX incident_open ON incident (mode) WHERE closed_at IS NULL",
    # AUTOINCREMENT: the id of an entry that was forgotten is never given to another one.
    f"""CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        {_MODE},
        incident TEXT NOT NULL,
        at TEXT NOT NULL,
        intent TEXT NOT NULL,
        outcome TEXT,
        FOREIGN KEY (mode, incident) REFERENCES incident (mode, id)
    ){_STRICT}""",
    "CREATE INDEX entry_by_time ON entry (mode, at)",
    "CREATE INDEX entry_by_incident ON entry (mode, incident)",
    "CREATE INDEX entry_open ON entry (mode) WHERE outcome IS NULL",
    f"""CREATE TABLE lock (
        {_MODE},
        scope TEXT NOT NULL,
        since TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (mode, scope)
    ){_STRICT}""",
    f"""CREATE TABLE pause (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        record TEXT NOT NULL
    ){_STRICT}""",
)


def examine(connection: sqlite3.Connection, path: Path) -> bool:
    """Tell whether there is a sound ledger (true) or an empty file (false); reads only.

    Raises:
        LedgerError: It is damaged, something else, or of a newer version.
        sqlite3.Error: It cannot be read, or is no SQLite file at all.
    """
    version = _number(connection, "PRAGMA user_version")
    application = _number(connection, "PRAGMA application_id")
    if not (version or application or _number(connection, "SELECT count(*) FROM sqlite_schema")):
        return False
    if application != APPLICATION:
        raise LedgerError(
            f"ledger {path}: is an SQLite file, but not a ledger; it is left as it is: "
            "move it away, or set another state_dir"
        )
    if version != VERSION:
        raise LedgerError(
            f"ledger {path}: was written by another version of remediator (format {version}, this one "
            f"knows {VERSION}); it is left as it is: run that version, or move it away"
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LedgerError(
            f"ledger {path}: is damaged ({verdict}); it is left as it is: "
            "move it away to start a new one, with empty budgets"
        )
    return True


def create(connection: sqlite3.Connection) -> None:
    """Create the tables in one transaction, unless another process did it first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _number(connection, "PRAGMA user_version"):
            for statement in _STATEMENTS:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)
