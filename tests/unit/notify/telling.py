"""Events and notices, made easily."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from remediator.adapters.notify.told import Told
from remediator.core.events import Event
from remediator.core.notice import Kind, Notice

START = datetime(2030, 1, 1, tzinfo=UTC)
INCIDENT = "20300101T000000.000-shop"


def told(event: Event, mono: float = 0.0, *, database: str = "shop", **fields: Any) -> Told:
    """An event, so many seconds after the start."""
    return Told(event, {"database": database, **fields}, START + timedelta(seconds=mono), mono)


def of_incident(event: Event, mono: float = 0.0, **fields: Any) -> Told:
    """An event of the incident."""
    return told(event, mono, incident=INCIDENT, **fields)


def terminated(number: int, outcome: str = "confirmed", mono: float = 0.0, **fields: Any) -> list[Told]:
    """The two events of each of so many terminations."""
    common = {"action": "terminate", "application": "api", "idle_for": 600.0 + number, **fields}
    ids = [f"{outcome}{n}" for n in range(number)]
    return [
        *(of_incident(Event.ACTION_INTENDED, mono, id=i, **common) for i in ids),
        *(of_incident(Event.ACTION_FINISHED, mono, id=i, outcome=outcome, **common) for i in ids),
    ]


def notice(
    kind: Kind, about: str = "incident a", fact: str = "x", mono: float = 0.0, database: str = "shop"
) -> Notice:
    """A notice that says nothing in particular."""
    at = START + timedelta(seconds=mono)
    return Notice(kind, kind.tone, f"{kind.word} {mono:g}", "body", at, database, about, fact)
