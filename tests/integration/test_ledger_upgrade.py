"""A ledger of an earlier format goes on being used, with all that is in it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.core.clock import ClockMark
from remediator.core.ledger import Lock, Pause
from remediator.core.model import Mode
from remediator.core.record import to_record
from remediator.core.times import instant
from tests.testbed.ledger import DAY, NOW, RESTART, confirmed, incident, intent

_FORMAT_1 = """
    CREATE TABLE incident (
        mode TEXT NOT NULL CHECK (mode IN ('dry-run', 'enforce')), id TEXT NOT NULL,
        opened_at TEXT NOT NULL, closed_at TEXT, record TEXT NOT NULL, PRIMARY KEY (mode, id));
    CREATE INDEX incident_by_time ON incident (mode, opened_at);
    CREATE INDEX incident_open ON incident (mode) WHERE closed_at IS NULL;
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT, mode TEXT NOT NULL CHECK (mode IN ('dry-run', 'enforce')),
        incident TEXT NOT NULL, at TEXT NOT NULL, intent TEXT NOT NULL, outcome TEXT,
        FOREIGN KEY (mode, incident) REFERENCES incident (mode, id));
    CREATE INDEX entry_by_time ON entry (mode, at);
    CREATE INDEX entry_by_incident ON entry (mode, incident);
    CREATE INDEX entry_open ON entry (mode) WHERE outcome IS NULL;
    CREATE TABLE lock (
        mode TEXT NOT NULL CHECK (mode IN ('dry-run', 'enforce')), scope TEXT NOT NULL,
        since TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (mode, scope));
    CREATE TABLE pause (only INTEGER PRIMARY KEY CHECK (only = 1), record TEXT NOT NULL);
    PRAGMA application_id = 1919772004;
    PRAGMA user_version = 1;
"""
HOUR = timedelta(hours=1)
LOCK = Lock("service:api", NOW, "it crashed")
PAUSE = Pause(NOW, NOW + HOUR, "deploy")


def _record(value: object) -> str:
    return json.dumps(to_record(value))  # type: ignore[arg-type]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state directory as a daemon of format 1 left it: an open incident with entries, a lock, a pause."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(_FORMAT_1)
        opened = incident()
        db.execute(
            "INSERT INTO incident VALUES ('enforce', ?, ?, NULL, ?)",
            (opened.id, instant(opened.opened_at), _record(opened)),
        )
        for at, outcome in ((NOW - HOUR, confirmed()), (NOW + 999 * DAY, confirmed()), (NOW, None)):
            made = intent(RESTART, at)
            db.execute(
                "INSERT INTO entry (mode, incident, at, intent, outcome) VALUES ('enforce', 'i1', ?, ?, ?)",
                (instant(at), _record(made), _record(outcome) if outcome else None),
            )
        db.execute("INSERT INTO lock VALUES ('enforce', ?, ?, ?)", (LOCK.scope, instant(NOW), _record(LOCK)))
        db.execute("INSERT INTO pause VALUES (1, ?)", (_record(PAUSE),))
    path.chmod(0o600)
    return tmp_path


async def test_everything_in_it_is_kept_and_counts_by_the_wall_clock_of_then(old: Path) -> None:
    """What is dated in the future counts as made when the clock is kept first."""
    for _ in range(2):  # the second time it is of our format
        store = SqliteLedger.open(old, Mode.ENFORCE)
        ledger = await store.load(NOW - DAY)
        assert [entry.intent.at for entry in ledger.entries] == [NOW - HOUR, NOW + 999 * DAY, NOW]
        assert (ledger.locks, ledger.pause, ledger.incidents) == ((LOCK,), PAUSE, (incident(),))
        await store.keep_clock(ClockMark("boot", 1.0, NOW, NOW))
        counted: list[datetime] = [e.intent.counted_at for e in (await store.load(NOW - DAY)).entries]
        assert counted == [NOW - HOUR, NOW, NOW]
        await store.close()
    with closing(sqlite3.connect(old / "ledger.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_whoever_only_reads_leaves_it_as_it_is(old: Path) -> None:
    """`history` may come before the new daemon, or while the old one runs."""
    before = (old / "ledger.db").read_bytes()
    store = SqliteLedger.open_read_only(old, Mode.ENFORCE)
    assert len((await store.load(NOW - DAY)).entries) == 3
    assert await store.clock() is None
    incidents, entries = await store.history(NOW - DAY)
    assert (len(incidents), len(entries)) == (1, 3)
    await store.close()
    assert (old / "ledger.db").read_bytes() == before


async def test_what_is_begun_in_it_is_dated_by_our_clock(old: Path) -> None:
    """Old and new entries are counted together."""
    store = SqliteLedger.open(old, Mode.ENFORCE)
    (new,) = await store.intend(incident(), [intent(at=NOW)])
    assert new.id == 4
    assert [entry.id for entry in (await store.load(NOW)).entries] == [1, 2, 3, 4]
    await store.close()
