"""How an incident goes, in a few words: the same on the page, in `history` and in a story."""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core.budgets import Standing, pause_end
from remediator.core.ledger import Entry, Incident, Result, database_scope
from remediator.core.maintenance import Window
from remediator.core.model import Mode
from remediator.core.plan import RestartReplica
from remediator.core.text import duration

# Something was done; of what was refuted the world shows that it did not help.
_MAY_HAVE_HELPED = frozenset({None, Result.CONFIRMED, Result.UNCONFIRMED, Result.UNKNOWN})


def relief(mode: Mode, entries: Sequence[Entry]) -> str:
    """How relief is called: it is not claimed for what did not bring it.

    Of a dry run it is not known whether what it simulated would have; somebody else may have meanwhile.

    Args:
        mode: Whether anything was really done.
        entries: What was done in the incident.
    """
    if mode is Mode.DRY_RUN:
        return "no longer critical (as simulated, or in fact)" if entries else "no longer critical"
    results = {entry.outcome.result if entry.outcome else None for entry in entries}
    if results & _MAY_HAVE_HELPED:
        return "relieved"
    # Whatever a refuted restart left behind, some sessions may have ended with it.
    return "no longer critical" if Result.REFUTED in results else "relieved without our help"


def refuted(entries: Sequence[Entry]) -> str:
    """Which restarts went wrong, in words; empty when none did, or when the next one went well."""
    last: dict[str, Result | None] = {}
    for entry in entries:
        action = entry.intent.action
        if isinstance(action, RestartReplica) and entry.charged:
            last[action.replica.name] = entry.outcome.result if entry.outcome else None
    names = [name for name, result in last.items() if result is Result.REFUTED]
    return f"the restart of {', '.join(names)} was refuted" if names else ""


def course(incident: Incident, entries: Sequence[Entry], mode: Mode, held: str = "") -> str:
    """How an incident stands: relieved and after which time, and what went wrong, or what it is about.

    Args:
        incident: The incident.
        entries: What was done in it, oldest first.
        mode: Whether anything was really done.
        held: What keeps everything from being done now, as `held_by` tells it.

    Returns:
        Empty for one that was closed without relief.
    """
    if incident.relieved_at is None:
        return "" if incident.closed_at else held or incident.phase.value
    text = f"{relief(mode, entries)} after {duration(incident.relieved_at - incident.opened_at)}"
    wrong = refuted(entries)
    return f"{text}, but {wrong}" if wrong else text


def held_by(database: str, standing: Standing | None, window: Window | None) -> str:
    """What keeps anything from being done for a database now, in words; empty when nothing in force does.

    Args:
        database: Its name.
        standing: What is in force, None when it could not be read.
        window: The maintenance window in force.
    """
    found = [f"a maintenance window {window.end}"] if window else []
    if standing is not None and standing.pause is not None:
        found.append(f"a pause {pause_end(standing.pause)}")
    scope = database_scope(database)
    if standing is not None and any(lock.scope == scope for lock in standing.locks):
        found.append(f"the lock on {scope}")
    return f"held by {', '.join(found)}" if found else ""
