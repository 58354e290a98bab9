"""Outcomes into the ledger, together with all that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from remediator.core import incident as incidents
from remediator.core.events import Event
from remediator.core.ledger import (
    Entry,
    Incident,
    Ledger,
    Lock,
    Outcome,
    Result,
    database_scope,
    service_scope,
)
from remediator.core.model import Moment
from remediator.core.plan import RestartReplica
from remediator.core.policy import Remediate
from remediator.core.text import count, duration
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
            settled = incidents.settle(incident, concluded, remediate, moment.steady)
        if settled is not None and settled != incident:
            await self.store.save_incident(settled)
        await self.store.conclude([(entry.id, outcome) for entry, outcome in found])
        for entry, outcome in found:
            self.teller.finished(entry, outcome)
        if settled is not None and incident is not None and settled.not_before != incident.not_before:
            self.teller.emit(Event.STEP_SETTLING, settled, settle=duration(remediate.settle))
        return settled

    async def on_ladder(self, incident: Incident, remediate: Remediate) -> Incident:
        """Note the ladder that the incident is climbed on from now on; say so when that was another one."""
        found = incidents.on_ladder(incident, remediate)
        if found != incident:
            await self.store.save_incident(found)
        if found.round != incident.round:
            self.teller.emit(Event.LADDER_CHANGED, found, round=found.round, steps=found.ladder)
        return found

    async def relieve(self, incident: Incident, moment: Moment) -> Incident:
        """Note relief, whoever brought it."""
        relieved = incidents.relieve(incident, moment.at)
        if relieved.phase is not incident.phase:
            seconds = (moment.at - incident.opened_at).total_seconds()
            self.teller.emit(Event.INCIDENT_RELIEVED, relieved, seconds=round(seconds, 3))
            await self.store.save_incident(relieved)
        return relieved

    async def close(self, incident: Incident, moment: Moment) -> None:
        """End an incident: the critical level has been left."""
        closed = incidents.close(incident, moment.at)
        await self.store.save_incident(closed)
        lasted = duration(moment.at - incident.opened_at)
        self.teller.emit(Event.INCIDENT_CLOSED, closed, lasted=lasted, rounds=closed.round)

    async def _lock_if_refuted(self, entry: Entry, outcome: Outcome) -> None:
        action = entry.intent.action
        if outcome.result is Result.REFUTED and isinstance(action, RestartReplica):
            scope = service_scope(action.replica.service)
            reason = f"{action.replica.name} was restarted: {outcome.detail}"
            await self.lock(Lock(scope, outcome.at, reason))

    async def lock_if_failing(
        self, before: Incident, after: Incident, ledger: Ledger, limit: int, moment: Moment
    ) -> Incident:
        """Lock what too many rounds without relief have shown to be beyond us: a service, the database.

        Args:
            before: The incident in the round that has ended.
            after: The incident as it stands now.
            ledger: The ledger.
            limit: How many failed rounds it takes, each time; a reload may have changed it meanwhile.
            moment: Now.

        Returns:
            The incident as it stands then, still to be saved.
        """
        if after.failed_rounds == before.failed_rounds:
            return after
        scopes = [service_scope(name) for name in incidents.failing_services(before, ledger, limit)]
        failed = after.failed_rounds - after.locked_after
        if failed >= limit:
            scopes.append(database_scope(after.database))
            after = replace(after, locked_after=after.failed_rounds)
        reason = f"{count(max(failed, limit), 'round')} without relief in incident {after.id}"
        for scope in scopes:
            await self.lock(Lock(scope, moment.at, reason), after)
        return after

    async def lock(self, lock: Lock, incident: Incident | None = None) -> None:
        """Lock a database or service until somebody acknowledges, and say so."""
        await self.store.lock(lock)
        self.teller.emit(Event.LOCKED, incident, scope=lock.scope, because=lock.reason)
