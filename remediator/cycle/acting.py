"""Intents into the ledger, then acts into the world; in this order, always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from remediator.core import incident as incidents
from remediator.core.assess import Assessment
from remediator.core.ledger import Entry, Incident, Intent, Ledger, Outcome, Result
from remediator.core.maintenance import Window
from remediator.core.model import Moment, Session
from remediator.core.plan import Objection, RestartReplica, StepPlan, TerminateSession
from remediator.core.policy import Policy, RestartService, Step, TerminateIdle
from remediator.core.reconsider import second_thoughts
from remediator.cycle.questioning import Questioner
from remediator.cycle.sight import Sight, lasted
from remediator.cycle.telling import Teller
from remediator.cycle.verifying import Verifier, immediate
from remediator.ports import Database, LedgerStore, Receipt

# An idle backend ends within milliseconds of its signal; looking that long spares a whole cycle.
_LOOK_AFTER = timedelta(seconds=1)
_NO_LONGER_OURS = "it is not certain any more that no other remediator acts on the database"
_ELSEWHERE = "another server answers now"
_NOT_AFTER = "not done after it was asked what is wrong"
_TOO_LATE = "not done: too long after the reading that it rests on"


@dataclass(slots=True)
class Actor:
    """Carries out what is due of a step."""

    database: Database
    store: LedgerStore
    verifier: Verifier
    teller: Teller
    sight: Sight
    questioner: Questioner

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
            return [self._dropped(entry, _TOO_LATE) for entry in entries]
        if isinstance(step, TerminateIdle):
            return await self._terminate(step, entries, moment)
        found: list[tuple[Entry, Outcome]] = []
        for entry in entries:
            # Between the sample and now we may have been suspended, and another one have taken over.
            if not await self.database.may_act():
                found.append(self._dropped(entry, _NO_LONGER_OURS))
            elif not self.questioner.ask(entry, step):
                self._restart(entry)
        return found

    async def outcomes(
        self,
        policy: Policy,
        assessment: Assessment,
        incident: Incident | None,
        ledger: Ledger,
        window: Window | None,
    ) -> list[tuple[Entry, Outcome]]:
        """Find the outcomes that can be told by now of what is open, whoever began it.

        What has been asked before its restart is restarted now, unless something has come between: asking
        takes its time.
        """
        entries = ledger.open_entries(self.database.name)
        found: list[tuple[Entry, Outcome]] = []
        for entry, step in self._answered(entries, assessment):
            because = (
                (_ELSEWHERE if self.verifier.lineage.elsewhere(entry) else "")
                or second_thoughts(self.database.name, policy, assessment, incident, ledger, window, step)
                or ("" if lasted(policy, assessment) else Objection.UNCONFIRMED.meaning)
                or ("" if await self.database.may_act() else _NO_LONGER_OURS)
            )
            if because:
                found.append(self._dropped(entry, f"{_NOT_AFTER}: {because}"))
            else:
                self._restart(entry)
        done = {entry.id for entry, _ in found}
        rest = [entry for entry in entries if entry.id not in done]
        return found + await self.verifier.outcomes(rest, assessment.sample.moment)

    def _answered(
        self, entries: Sequence[Entry], assessment: Assessment
    ) -> list[tuple[Entry, RestartService]]:
        """Whose turn it is now that they were asked; nobody's while the reading it would rest on is old."""
        if not self.questioner.asking or self.sight.aged(assessment.sample.moment):
            return []
        return self.questioner.answered(entries)

    def _restart(self, entry: Entry) -> None:
        if isinstance(entry.intent.action, RestartReplica):
            self.verifier.request(entry, entry.intent.action.replica)

    def _dropped(self, entry: Entry, because: str) -> tuple[Entry, Outcome]:
        return entry, Outcome(Result.DROPPED, self.sight.clock.now().at, because)

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
