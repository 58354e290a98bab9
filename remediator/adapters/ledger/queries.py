"""What is read from and written to the tables, inside a transaction of the caller's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from remediator.adapters.ledger.checksum import sealed, unsealed
from remediator.core.clock import ClockMark
from remediator.core.ledger import Entry, Incident, Intent, Ledger, Lock, Outcome, Pause
from remediator.core.model import Mode
from remediator.core.record import Recordable, from_record, to_record
from remediator.core.times import instant
from remediator.errors import LedgerError
from remediator.ports import AHEAD, KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from remediator.adapters.ledger.connection import Connection

_T = TypeVar("_T")

_CURRENT = """
    SELECT id, steady, intent, outcome FROM entry WHERE id IN (
        SELECT id FROM entry WHERE mode = :mode AND steady >= :since
        UNION SELECT id FROM entry WHERE mode = :mode AND outcome IS NULL
        UNION SELECT entry.id FROM incident JOIN entry
            ON entry.mode = incident.mode AND entry.incident = incident.id
            WHERE incident.mode = :mode AND incident.closed_at IS NULL
    ) ORDER BY id"""

_HISTORY = """
    SELECT id, steady, intent, outcome FROM entry WHERE mode = :mode AND (at >= :since OR incident IN (
        SELECT id FROM incident WHERE mode = :mode AND closed_at IS NULL
    )) ORDER BY id"""

_NEWEST = """
    SELECT id, steady, intent, outcome FROM entry WHERE mode = :mode AND incident IN (
        SELECT id FROM (
            SELECT id FROM incident WHERE mode = :mode AND (opened_at >= :since OR closed_at IS NULL)
            ORDER BY opened_at DESC, id DESC LIMIT :newest
        ) UNION SELECT :also
    ) ORDER BY id"""

_FORGET_ENTRIES = """
    DELETE FROM entry WHERE mode = :mode AND at < :before AND steady < :kept AND outcome IS NOT NULL
        AND EXISTS (
        SELECT 1 FROM incident WHERE incident.mode = entry.mode AND incident.id = entry.incident
            AND incident.closed_at < :before
    )"""

_FORGET_INCIDENTS = """
    DELETE FROM incident WHERE mode = :mode AND closed_at < :before AND NOT EXISTS (
        SELECT 1 FROM entry WHERE entry.mode = incident.mode AND entry.incident = incident.id
    )"""


def load(db: Connection, mode: Mode, since: datetime) -> Ledger:
    """Read what decisions need."""
    entries = _entries(db.execute(_CURRENT, {"mode": mode, "since": instant(since)}), db.known)
    db.known = {entry.id: entry for entry in entries if entry.outcome is not None}
    return Ledger(
        entries=entries,
        incidents=_values(
            db.execute(
                "SELECT record FROM incident WHERE mode = ? AND closed_at IS NULL ORDER BY opened_at, id",
                (mode,),
            ),
            Incident,
        ),
        pause=next(iter(_values(db.execute("SELECT record FROM pause"), Pause)), None),
        locks=_locks(db, mode),
    )


def clock(db: Connection) -> ClockMark | None:
    """Read where all clocks stood when that was last kept."""
    return next(iter(_values(db.execute("SELECT record FROM clock"), ClockMark)), None)


def keep_clock(db: Connection, mark: ClockMark) -> None:
    """Record where all clocks stand; what is far ahead counts as made then."""
    db.execute("INSERT OR REPLACE INTO clock (only, record) VALUES (1, ?)", (_text(mark),))
    times = {"now": instant(mark.steady), "far": instant(mark.steady + AHEAD)}
    if db.execute("UPDATE entry SET steady = :now WHERE steady > :far", times).rowcount:
        db.known = {}


def history(
    db: Connection, mode: Mode, since: datetime, newest: int | None, also: str
) -> tuple[tuple[Incident, ...], tuple[Entry, ...]]:
    """Read what people ask for."""
    parameters = {"mode": mode, "since": instant(since), "newest": newest, "also": also}
    incidents = db.execute(
        "SELECT record FROM incident WHERE mode = :mode AND (opened_at >= :since OR closed_at IS NULL)"
        " ORDER BY opened_at, id",
        parameters,
    )
    entries = db.execute(_HISTORY if newest is None else _NEWEST, parameters)
    return _values(incidents, Incident), _entries(entries, db.known)


def save_incident(db: Connection, mode: Mode, incident: Incident) -> None:
    """Insert or update an incident."""
    db.execute(
        "INSERT INTO incident (mode, id, opened_at, closed_at, record) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (mode, id) DO UPDATE SET"
        " opened_at = excluded.opened_at, closed_at = excluded.closed_at, record = excluded.record",
        (
            mode,
            incident.id,
            instant(incident.opened_at),
            instant(incident.closed_at) if incident.closed_at else None,
            _text(incident),
        ),
    )


def intend(db: Connection, mode: Mode, incident: Incident, intents: Iterable[Intent]) -> tuple[Entry, ...]:
    """Record an incident's new state and intents."""
    save_incident(db, mode, incident)
    return tuple(Entry(_insert(db, mode, intent), intent) for intent in intents)


def conclude(db: Connection, mode: Mode, outcomes: Sequence[tuple[int, Outcome]]) -> None:
    """Record outcomes; the first one of an entry stays."""
    for entry, outcome in outcomes:
        if not db.execute("SELECT 1 FROM entry WHERE mode = ? AND id = ?", (mode, entry)).fetchone():
            raise LedgerError(f"the ledger has no {mode} entry {entry}; no outcome was recorded")
        db.execute(
            "UPDATE entry SET outcome = ? WHERE mode = ? AND id = ? AND outcome IS NULL",
            (_text(outcome), mode, entry),
        )


def lock(db: Connection, mode: Mode, new: Lock) -> None:
    """Record a lock; the first one on a scope stays."""
    db.execute(
        "INSERT INTO lock (mode, scope, since, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (mode, new.scope, instant(new.since), _text(new)),
    )


def acknowledge(db: Connection, mode: Mode) -> tuple[Lock, ...]:
    """Remove all locks; return them."""
    locks = _locks(db, mode)
    db.execute("DELETE FROM lock WHERE mode = ?", (mode,))
    return locks


def pause(db: Connection, new: Pause) -> None:
    """Record the pause of both modes."""
    db.execute("INSERT OR REPLACE INTO pause (only, record) VALUES (1, ?)", (_text(new),))


def resume(db: Connection) -> bool:
    """Remove the pause; tell whether there was one."""
    return db.execute("DELETE FROM pause").rowcount > 0


def prune(db: Connection, before: datetime) -> int:
    """Forget what is over and old, of both modes; tell how many entries."""
    forgotten = 0
    for mode in Mode:
        ((newest,),) = db.execute("SELECT max(steady) FROM entry WHERE mode = ?", (mode,))
        kept = datetime.fromisoformat(newest) - KEPT if newest else before
        parameters = {"mode": mode, "before": instant(before), "kept": instant(kept)}
        forgotten += db.execute(_FORGET_ENTRIES, parameters).rowcount
        db.execute(_FORGET_INCIDENTS, parameters)
    return forgotten


def _insert(db: Connection, mode: Mode, intent: Intent) -> int:
    new = db.execute(
        "INSERT INTO entry (mode, incident, at, steady, intent) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (mode, intent.incident, instant(intent.at), instant(intent.counted_at), _text(intent)),
    )
    (number,) = new.fetchone()
    return int(number)


def _locks(db: Connection, mode: Mode) -> tuple[Lock, ...]:
    rows = db.execute("SELECT record FROM lock WHERE mode = ? ORDER BY since, scope", (mode,))
    return _values(rows, Lock)


def _entries(
    rows: Iterable[tuple[int, str, str, str | None]], known: Mapping[int, Entry]
) -> tuple[Entry, ...]:
    return tuple(known.get(row[0]) or _entry(*row) for row in rows)


def _entry(number: int, steady: str, intent: str, outcome: str | None) -> Entry:
    made = _value(intent, Intent)
    counted_at = datetime.fromisoformat(steady)
    if counted_at != made.counted_at:
        made = replace(made, steady=counted_at)
    return Entry(number, made, None if outcome is None else _value(outcome, Outcome))


def _values(rows: Iterable[tuple[str]], expected: type[_T]) -> tuple[_T, ...]:
    return tuple(_value(text, expected) for (text,) in rows)


def _value(text: str, expected: type[_T]) -> _T:
    record = unsealed(text)
    if record is None:
        raise LedgerError(
            f"the ledger is damaged: a record of kind {expected.__name__} is not as it was written; it is "
            "left as it is: put a sound copy back"
        )
    return from_record(json.loads(record), expected)


def _text(value: Recordable) -> str:
    return sealed(json.dumps(to_record(value), allow_nan=False))
