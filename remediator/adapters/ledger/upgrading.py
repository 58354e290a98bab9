"""Bringing a ledger of an earlier format to ours, with all that is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remediator.adapters.ledger.checksum import sealed
from remediator.adapters.ledger.schema import BY_CLOCK, CLOCK, REVISION, VERSION, number
from remediator.adapters.sqlite import transaction

if TYPE_CHECKING:
    import sqlite3

_RECORDS = (
    ("incident", "record"),
    ("entry", "intent"),
    ("entry", "outcome"),
    ("lock", "record"),
    ("pause", "record"),
)


def upgrade(connection: sqlite3.Connection) -> None:
    """Upgrade in one transaction, unless another process just did.

    Raises:
        sqlite3.Error: It cannot be written; it is as it was.
    """
    with transaction(connection):
        if number(connection, "PRAGMA user_version") < VERSION:
            _from_1_to_2(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _from_1_to_2(connection: sqlite3.Connection) -> None:
    # Until then the wall clock was the ledger's clock.
    connection.execute("ALTER TABLE entry ADD COLUMN steady TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE entry SET steady = at")
    for statement in (BY_CLOCK, CLOCK, *REVISION):
        connection.execute(statement)
    connection.create_function("sealed", 1, sealed, deterministic=True)
    for table, column in _RECORDS:
        # S608: both are ours
        statement = f"UPDATE {table} SET {column} = sealed({column}) WHERE {column} IS NOT NULL"  # noqa: S608
        connection.execute(statement)
