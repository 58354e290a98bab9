"""The tables, and telling a ledger from what is not one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from remediator.adapters.sqlite import transaction
from remediator.core.text import one_line
from remediator.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 2
APPLICATION = 0x726D6564  # "rmed": tells `file` and us that an SQLite file is a ledger

_STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
_MODE = "mode TEXT NOT NULL CHECK (mode IN ('dry-run', 'enforce'))"

BY_CLOCK = "CREATE INDEX entry_by_clock ON entry (mode, steady)"
# Counts the transactions that wrote; what is beside the ledger tells how many there should be.
REVISION = (
    f"""CREATE TABLE IF NOT EXISTS revision (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        number INTEGER NOT NULL
    ){_STRICT}""",
    "INSERT OR IGNORE INTO revision VALUES (1, 0)",
)
CLOCK = f"""CREATE TABLE clock (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        record TEXT NOT NULL
    ){_STRICT}"""

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
        steady TEXT NOT NULL,
        intent TEXT NOT NULL,
        outcome TEXT,
        FOREIGN KEY (mode, incident) REFERENCES incident (mode, id)
    ){_STRICT}""",
    "CREATE INDEX entry_by_time ON entry (mode, at)",
    BY_CLOCK,
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
    *REVISION,
    CLOCK,
)


def examine(connection: sqlite3.Connection, path: Path) -> int:
    """Make sure that this is a sound ledger of our version or of an earlier one; reads only.

    Returns:
        Its version.

    Raises:
        LedgerError: It is damaged, something else, or of another version.
        sqlite3.Error: It cannot be read, or is no SQLite file at all.
    """
    if number(connection, "PRAGMA application_id") != APPLICATION:
        raise LedgerError(
            f"ledger {path}: is an SQLite file, but not a ledger; it is left as it is: "
            "move it away, or set another state_dir"
        )
    version = number(connection, "PRAGMA user_version")
    if not 1 <= version <= VERSION:
        raise LedgerError(
            f"ledger {path}: was written by another version of remediator (format {version}, this one "
            f"knows {VERSION}); it is left as it is: run that version, or move it away"
        )
    # Entries are found through indexes, which must therefore agree with the tables. A ledger that is not in
    # WAL mode was damaged in its header: its log would be passed over.
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    if verdict != "ok" or journal != "wal":
        found = one_line(verdict) if verdict != "ok" else f"journal mode {journal}"
        raise LedgerError(
            f"ledger {path}: is damaged ({found}); it is left as it is: put a sound copy back, or move it "
            "away together with its mark to start a new one, with empty budgets"
        )
    return version


def fill(connection: sqlite3.Connection) -> None:
    """Write the tables into a new file, in one transaction."""
    with transaction(connection):
        for statement in _STATEMENTS:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def number(connection: sqlite3.Connection, query: str) -> int:
    """Ask for a single number."""
    (found,) = connection.execute(query).fetchone()
    return int(found)
