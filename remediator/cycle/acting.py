"""Intents into the ledger, then acts into the world; in this order, always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from remediator.core import incident as incidents
from remediator.core.ledger import Entry, Incident, Intent, Outcome, Result
from remediator.core.model import Moment, Session
from remediator.core.plan import RestartReplica, StepPlan, TerminateSession
from remediator.core.policy import Step, TerminateIdle
from remediator.cycle.sight import Sight
from remediator.cycle.telling import Teller
from remediator.cycle.verifying import Verifier, immediate
from remediator.ports import Database, LedgerStore, Receipt

# An idle backend ends within milliseconds of its signal; looking that long spares a whole cycle.
_LOOK_AFTER = timedelta(seconds=1)
_NO_LONGER_OURS = "it is not certain any more that no other remediator acts on the database"
_TOO_LATE = "not done: too long after the reading that it rests on"


@dataclass(slots=True)
class Actor:
    """Carries out what is due of a step."""

    database: Database
    store: LedgerStore
    verifier: Verifier
    teller: Teller
    sight: Sight

    async def intend(
        self, incident: Incident, step: StepPlan, moment: Moment
    ) -> tuple[Incident, tuple[Entry, ...]]:
        """Record the acts that are due and the incident's new place on the ladder, durably."""
        climbed = incidents.climb(incident, step)
        intents = [
            Intent(
                incident=incident.id,
                database=self.database.name,
                round=incident.round,
                step=step.index,
                action=act.action,
                because=act.because,
                at=moment.at,
                steady=moment.stamp,
                server=self.verifier.lineage.identity,
            )
            for act in incidents.due(step)
        ]
        entries = await self.store.intend(climbed, intents)
        for entry in entries:
            self.teller.intended(climbed, entry)
        return climbed, entries

    async def act(self, step: Step, entries: Sequence[Entry], moment: Moment) -> list[tuple[Entry, Outcome]]:
        """Carry out recorded intents; return the outcomes that are known at once.

        Nothing is done if recording them took so long that what they rest on has grown old.
        """
        if self.sight.aged(moment):
            dropped = Outcome(Result.CHANGED, self.sight.clock.now().at, _TOO_LATE)
            return [(entry, dropped) for entry in entries]
        if isinstance(step, TerminateIdle):
            return await self._terminate(step, entries, moment)
        found: list[tuple[Entry, Outcome]] = []
        for entry in entries:
            if not isinstance(entry.intent.action, RestartReplica):
                continue
            # Between the sample and now we may have been suspended, and another one have taken over.
            if await self.database.may_act():
                self.verifier.request(entry, entry.intent.action.replica)
            else:
                found.append((entry, Outcome(Result.CHANGED, self.sight.clock.now().at, _NO_LONGER_OURS)))
        return found

    async def _terminate(
        self, step: TerminateIdle, entries: Sequence[Entry], moment: Moment
    ) -> list[tuple[Entry, Outcome]]:
        receipts = await self.database.terminate(_sessions(entries), step.older_than)
        found: list[tuple[Entry, Outcome]] = []
        sent: list[Entry] = []
        for entry, receipt in zip(entries, receipts, strict=True):
            outcome = immediate(receipt, moment)
            if outcome is not None:
                found.append((entry, outcome))
            elif receipt is Receipt.SENT:
                sent.append(entry)
        found += await self.verifier.outcomes(sent, moment, _LOOK_AFTER)
        seen = self.sight.clock.now().at
        return [(entry, replace(outcome, at=seen)) for entry, outcome in found]


def _sessions(entries: Sequence[Entry]) -> list[Session]:
    actions = (entry.intent.action for entry in entries)
    return [action.session for action in actions if isinstance(action, TerminateSession)]
