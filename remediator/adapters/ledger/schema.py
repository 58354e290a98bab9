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


def examine(connection: sqlite3.Connection, path: Path) -> None:
    """Make sure that this is a sound ledger of our version; reads only.

    Raises:
        LedgerError: It is damaged, something else, or of another version.
        sqlite3.Error: It cannot be read, or is no SQLite file at all.
    """
    if _number(connection, "PRAGMA application_id") != APPLICATION:
        raise LedgerError(
            f"ledger {path}: is an SQLite file, but not a ledger; it is left as it is: "
            "move it away, or set another state_dir"
        )
    version = _number(connection, "PRAGMA user_version")
    if version != VERSION:
        raise LedgerError(
            f"ledger {path}: was written by another version of remediator (format {version}, this one "
            f"knows {VERSION}); it is left as it is: run that version, or move it away"
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LedgerError(
            f"ledger {path}: is damaged ({' '.join(verdict.split())}); it is left as it is: "
            "move it away to start a new one, with empty budgets"
        )


def fill(connection: sqlite3.Connection) -> None:
    """Write the tables into a new file, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _STATEMENTS:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)
