"""Settling what an earlier run left open for databases that nobody watches any more."""

from __future__ import annotations

from collections.abc import Collection

from remediator.core import incident as incidents
from remediator.core.events import Event
from remediator.core.ledger import Outcome, Result
from remediator.core.model import Mode, Moment
from remediator.core.text import duration
from remediator.cycle.telling import Teller
from remediator.ports import LedgerStore, Observer

_WHY = "its database is no longer in the config"


async def settle_unwatched(
    store: LedgerStore, watched: Collection[str], observer: Observer, mode: Mode, moment: Moment
) -> None:
    """Conclude open entries, and close open incidents, of databases that are not watched.

    No cycle looks at them, and an open restart would keep its service from being restarted for ever.

    Args:
        store: The ledger.
        watched: Names of the databases that have a cycle.
        observer: Told what is concluded and closed.
        mode: For what is told.
        moment: Now.

    Raises:
        LedgerError: The ledger cannot be used.
    """
    ledger = await store.load(moment.at)
    unknown = Outcome(Result.UNKNOWN, moment.at, _WHY)
    left = [e for e in ledger.entries if e.outcome is None and e.intent.database not in watched]
    await store.conclude([(entry.id, unknown) for entry in left])
    for entry in left:
        Teller(observer, entry.intent.database, mode).finished(entry, unknown)
    for incident in ledger.incidents:
        if incident.database not in watched and incident.closed_at is None:
            await store.save_incident(incidents.close(incident, moment.at))
            lasted = duration(moment.at - incident.opened_at)
            teller = Teller(observer, incident.database, mode)
            teller.emit(Event.INCIDENT_CLOSED, incident, lasted=lasted, rounds=incident.round, because=_WHY)
