"""What is in force and what is left of each limit, as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from remediator.core.budgets import Budget, Standing, pause_text
from remediator.core.ledger import Lock, Pause
from remediator.core.maintenance import Window
from remediator.core.record import to_record
from remediator.core.text import count, duration


def standing_lines(standings: Mapping[str, Standing], windows: Mapping[str, Window | None]) -> Iterator[str]:
    """What is in force and what is left of each limit, for a person.

    Args:
        standings: By database.
        windows: The maintenance windows in force, by database.
    """
    for name, window in windows.items():
        if window is not None:
            yield f"{name} is in a maintenance window {window.text}"
    first = next(iter(standings.values()), None)
    if first is not None:
        yield from in_force_lines(first)
    for name, standing in standings.items():
        yield f"limits of {name}:"
        yield from (f"  {line}" for line in budget_lines(standing))


def in_force_lines(standing: Standing) -> Iterator[str]:
    """Pause and locks, for a person."""
    return order_lines(standing, standing.locks)


def order_lines(standing: Standing, locks: Iterable[Lock]) -> Iterator[str]:
    """The pause, and these of the locks, for a person."""
    if standing.pause is not None:
        yield f"paused {pause_text(standing.pause, standing.now)}"
    for lock in locks:
        since = f"{lock.since:%Y-%m-%d %H:%M:%S} UTC"
        yield f"locked {lock.scope} since {since}: {lock.reason}; `remediator ack` unlocks it"


def budget_lines(standing: Standing) -> Iterator[str]:
    """What is left of each limit, for a person."""
    for budget in standing.budgets:
        wait = duration(budget.frees_at - standing.now) if budget.frees_at else ""
        if budget.allowed is None:
            yield f"{budget.limits}: backoff after {count(budget.used, 'restart')}, again in {wait}"
            continue
        line = f"{budget.limits}: {budget.used} used, limit {budget.rule}"
        if wait:
            line += f", the oldest stops counting in {wait}" if budget.left else f", again in {wait}"
        yield line


def standing_record(
    standings: Iterable[Standing], windows: Mapping[str, Window | None], mode: str
) -> dict[str, Any]:
    """What is in force and what is left of each limit, of all databases, for JSON."""
    known = tuple(standings)
    first = known[0] if known else None
    return {
        "schema": 1,
        "kind": "standing",
        "mode": mode,
        "maintenance": {
            name: {"until": window.until.isoformat(), "reason": window.reason}
            for name, window in windows.items()
            if window is not None
        },
        **in_force_record(first.pause if first else None, first.locks if first else ()),
        "budgets": [_budget_record(budget, standing) for standing in known for budget in standing.budgets],
    }


def in_force_record(pause: Pause | None, locks: Iterable[Lock]) -> dict[str, Any]:
    """Pause and locks, for JSON."""
    return {"pause": to_record(pause) if pause else None, "locks": [to_record(lock) for lock in locks]}


def budget_records(standing: Standing) -> list[dict[str, Any]]:
    """What is left of each limit of one database, for JSON."""
    return [_budget_record(budget, standing) for budget in standing.budgets]


def _budget_record(budget: Budget, standing: Standing) -> dict[str, Any]:
    frees_in = (budget.frees_at - standing.now).total_seconds() if budget.frees_at else None
    return {
        "database": budget.database,
        "limits": budget.limits,
        "rule": budget.rule,
        "used": budget.used,
        "allowed": budget.allowed,
        "left": budget.left,
        "frees_in": None if frees_in is None else round(frees_in, 3),
    }
