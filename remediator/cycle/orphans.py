"""Settling what an earlier run left open for databases that nobody watches any more."""

from __future__ import annotations

from collections.abc import Collection

from remediator.core import incident as incidents
from remediator.core.ledger import Outcome, Result
from remediator.core.model import Moment
from remediator.ports import LedgerStore

_WHY = "its database is no longer in the config"


async def settle_orphans(store: LedgerStore, watched: Collection[str], moment: Moment) -> int:
    """Conclude open entries, and close open incidents, of databases that are not watched.

    No cycle looks at them, and an open restart would keep its service from being restarted for ever.

    Args:
        store: The ledger.
        watched: Names of the databases that have a cycle.
        moment: Now.

    Returns:
        How many entries were concluded, as unknown.

    Raises:
        LedgerError: The ledger cannot be used.
    """
    ledger = await store.load(moment.at)
    orphans = [e for e in ledger.entries if e.outcome is None and e.intent.database not in watched]
    await store.conclude([(e.id, Outcome(Result.UNKNOWN, moment.at, _WHY)) for e in orphans])
    for incident in ledger.incidents:
        if incident.database not in watched and incident.closed_at is None:
            await store.save_incident(incidents.close(incident, moment.at))
    return len(orphans)
