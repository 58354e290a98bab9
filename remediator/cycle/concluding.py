"""Outcomes into the ledger, together with all that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from remediator.core import incident as incidents
from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Lock, Outcome, Result, service_scope
from remediator.core.model import Moment
from remediator.core.plan import RestartReplica
from remediator.core.policy import Remediate
from remediator.core.text import duration
from remediator.cycle.telling import Teller
from remediator.ports import LedgerStore


@dataclass(slots=True)
class Concluder:
    """Records and tells what came of actions."""

    store: LedgerStore
    teller: Teller

    async def conclude(
        self,
        found: Sequence[tuple[Entry, Outcome]],
        incident: Incident | None,
        remediate: Remediate,
        moment: Moment,
    ) -> Incident | None:
        """Record outcomes, and before them what follows from them: a crash in between must lose neither.

        Args:
            found: Open entries with their outcomes.
            incident: The open incident, which need not be theirs.
            remediate: The ladder.
            moment: Now.

        Returns:
            The incident, waiting for its step to settle if one is complete.
        """
        if not found:
            return incident
        for entry, outcome in found:
            await self._lock_if_refuted(entry, outcome)
        settled = incident
        if incident is not None:
            concluded = [replace(e, outcome=o) for e, o in found if e.intent.incident == incident.id]
            settled = incidents.settle(incident, concluded, remediate, moment.at)
        if settled is not None and settled != incident:
            await self.store.save_incident(settled)
        await self.store.conclude([(entry.id, outcome) for entry, outcome in found])
        for entry, outcome in found:
            self.teller.finished(entry, outcome)
        if settled != incident:
            self.teller.emit(Event.STEP_SETTLING, settled, settle=duration(remediate.settle))
        return settled

    async def _lock_if_refuted(self, entry: Entry, outcome: Outcome) -> None:
        action = entry.intent.action
        if outcome.result is Result.REFUTED and isinstance(action, RestartReplica):
            scope = service_scope(action.replica.service)
            reason = f"{action.replica.name} was restarted: {outcome.detail}"
            await self.lock(Lock(scope, outcome.at, reason))

    async def lock(self, lock: Lock, incident: Incident | None = None) -> None:
        """Lock a database or service until somebody acknowledges, and say so."""
        await self.store.lock(lock)
        self.teller.emit(Event.LOCKED, incident, scope=lock.scope, because=lock.reason)
