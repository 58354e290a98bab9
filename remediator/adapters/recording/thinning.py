"""Forgetting: readings are fewer the older they are, and never take more room than agreed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from remediator.adapters.recording.file import number
from remediator.adapters.sqlite import transaction

if TYPE_CHECKING:
    import sqlite3

_MICROSECOND = timedelta(microseconds=1)
_WHOLE = timedelta(hours=24)
# From this age on, one reading in so much time is left.
_TIERS = ((_WHOLE, timedelta(minutes=1)), (timedelta(days=7), timedelta(minutes=10)))

_OLDER = "DELETE FROM reading WHERE story IS NULL AND steady < ?"
_OLDER_STORIES = "DELETE FROM reading WHERE steady < ?"
_OLDER_DEPOSITIONS = "DELETE FROM deposition WHERE at < ?"
# What an incident's story needs, and where the level changed, is not thinned out.
_THIN = """
    DELETE FROM reading WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (
                PARTITION BY database, mode, steady / :span ORDER BY steady, id
            ) AS nth
            FROM reading WHERE steady < :until AND story IS NULL AND NOT marked
        ) WHERE nth > 1
    )"""
_OLDEST = """
    DELETE FROM reading WHERE id IN (
        SELECT id FROM reading WHERE story IS NULL OR :stories ORDER BY steady LIMIT :count
    )"""


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept.

    Attributes:
        ordinary: For how long any reading is.
        stories: For how long those of an incident are, whole.
        size: Bytes that all of it may take.
    """

    ordinary: timedelta
    stories: timedelta
    size: int


def thin(connection: sqlite3.Connection, keep: Keep, now: int) -> None:
    """Forget what has grown too old, or too much.

    Args:
        connection: The file, not in a transaction.
        keep: What is kept.
        now: Microseconds on the ledger's clock.

    Raises:
        sqlite3.Error: It cannot be written.
    """
    with transaction(connection):
        connection.execute(_OLDER, (now - keep.ordinary // _MICROSECOND,))
        connection.execute(_OLDER_STORIES, (now - max(keep.stories, keep.ordinary) // _MICROSECOND,))
        connection.execute(_OLDER_DEPOSITIONS, (now - keep.stories // _MICROSECOND,))
        for age, span in _TIERS:
            until = now - age // _MICROSECOND
            connection.execute(_THIN, {"span": span // _MICROSECOND, "until": until})
    while size(connection) > keep.size and _forget_the_oldest(connection):
        pass
    # Not by `execute`, which stops after the first page.
    connection.executescript("PRAGMA incremental_vacuum")


def size(connection: sqlite3.Connection) -> int:
    """Bytes in use, without what is free for new readings."""
    pages = number(connection, "PRAGMA page_count") - number(connection, "PRAGMA freelist_count")
    return pages * number(connection, "PRAGMA page_size")


def _forget_the_oldest(connection: sqlite3.Connection) -> bool:
    """Forget a part of the oldest readings, an incident's only when there is no other; tell whether any."""
    count = number(connection, "SELECT count(*) FROM reading") // 20 + 1
    with transaction(connection):
        for stories in (False, True):
            if connection.execute(_OLDEST, {"stories": stories, "count": count}).rowcount:
                return True
    return False
