"""The cycle of one database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from remediator.core import incident as incidents
from remediator.core.assess import Assessment, Watch, assess, critical_evidence
from remediator.core.decide import Situation, decide
from remediator.core.events import Event
from remediator.core.guards import gate
from remediator.core.ledger import (
    Entry,
    Incident,
    Ledger,
    Lock,
    Outcome,
    Phase,
    Result,
    database_scope,
    service_scope,
)
from remediator.core.model import Evidence, Level, Mode, Moment, Session, Trouble, TroubleKind
from remediator.core.plan import (
    Objection,
    Plan,
    RestartReplica,
    Survey,
)
from remediator.core.policy import Policy, RestartService, Service, TerminateIdle
from remediator.core.text import count, duration
from remediator.cycle.acting import Actor
from remediator.cycle.telling import Teller, hold_reasons
from remediator.cycle.verifying import Verifier, read_replicas
from remediator.errors import LedgerError, UnavailableError
from remediator.ports import Clock, Database, LedgerStore, Observer, Runtime


@dataclass(frozen=True, slots=True)
class Turn:
    """What one cycle came to.

    Attributes:
        plan: None while nothing had to be planned.
        incident: The open incident, None without one.
        in_flight: Actions whose outcome is not known yet.
    """

    assessment: Assessment
    plan: Plan | None = None
    incident: Incident | None = None
    in_flight: int = 0


class Cycle:
    """Watches one database and, once critical is confirmed, climbs the ladder one step per cycle.

    What must survive a crash is in the ledger; how long evidence has lasted is begun again after one.

    Args:
        database: The database, real or in a dry run's hands.
        policy: What the operator asked for.
        services: Every configured service.
        runtimes: Their runtimes, real or in a dry run's hands.
        store: The ledger.
        observer: Told what happens.
        clock: For the length of a cycle; what is decided depends on the moment passed to `run` only.
        mode: For records.
        deciding: Shared by all cycles, so that two of them cannot spend the same budget at once.
        fence: Raises LedgerError when we are no longer the only one who may act.
    """

    def __init__(
        self,
        *,
        database: Database,
        policy: Policy,
        services: Mapping[str, Service],
        runtimes: Mapping[str, Runtime],
        store: LedgerStore,
        observer: Observer,
        clock: Clock,
        mode: Mode,
        deciding: asyncio.Lock,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self.database = database
        self.policy = policy
        self._runtimes = runtimes
        self._store = store
        self._clock = clock
        self._deciding = deciding
        self._fence = fence
        self._teller = Teller(observer, database.name, mode)
        self._verifier = Verifier(database, services, runtimes)
        self._actor = Actor(database, store, self._verifier, self._teller)
        self._watch = Watch()
        self._engaged = True  # there may be an incident or an open intent from before
        self._ledger_failed = False

    async def run(self, moment: Moment) -> Turn:
        """Go through one cycle."""
        sample = await self.database.sample(moment)
        assessment = assess(self.policy, self._watch, sample)
        self._watch = assessment.watch
        self._teller.assessment(assessment)
        turn = Turn(assessment)
        if assessment.level is Level.CRITICAL or self._engaged:
            turn = await self._remediate(assessment)
        seconds = self._clock.now().mono - moment.mono
        self._teller.cycle(assessment, turn.incident, seconds)
        return turn

    async def look(self, moment: Moment) -> Assessment:
        """Judge one sample by itself; nothing is recorded, said or done."""
        return assess(self.policy, Watch(), await self.database.sample(moment))

    async def look_ahead(self, moment: Moment) -> Turn:
        """Plan as if critical were confirmed now; nothing is recorded, said or done.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        assessment = await self.look(moment)
        sample = assessment.sample
        ledger = await self._load(moment)
        incident = ledger.open_incident(self.database.name) or incidents.open_incident(
            "none", self.database.name, sample, ""
        )
        situation = Situation(
            self.database.name,
            self.policy,
            sample,
            incident,
            ledger,
            await self.survey(),
            assume_critical=sample.slots is not None or assessment.pending is Level.CRITICAL,
        )
        in_flight = len(ledger.open_entries(self.database.name))
        return Turn(assessment, decide(situation), incident, in_flight)

    async def _remediate(self, assessment: Assessment) -> Turn:
        try:
            turn = await self._take_turn(assessment)
        except LedgerError as error:
            if not self._ledger_failed:
                self._teller.emit(Event.LEDGER_UNAVAILABLE, because=str(error))
            self._ledger_failed = True
            held = Plan(objections=(Objection.LEDGER_UNAVAILABLE,), detail=str(error))
            return Turn(assessment, held)
        if self._ledger_failed:
            self._teller.emit(Event.LEDGER_AVAILABLE)
        self._ledger_failed = False
        return turn

    async def _take_turn(self, assessment: Assessment) -> Turn:
        self._fence()
        moment = assessment.sample.moment
        ledger = await self._load(moment)
        incident = ledger.open_incident(self.database.name)
        # After a crash this is how the past is caught up with: the same look as at any other time.
        found = await self._verifier.outcomes(ledger.open_entries(self.database.name), moment)
        if found:
            incident = await self._conclude(found, incident, moment)
            ledger = await self._load(moment)
        plan = None
        if assessment.level is not Level.CRITICAL:
            incident = await self._stand_down(incident, ledger, moment)
        else:
            if incident is None:
                incident = await self._open(assessment)
            incident, plan = await self._climb(assessment, incident, ledger)
        in_flight = len((await self._load(moment)).open_entries(self.database.name)) if plan else 0
        self._engaged = incident is not None or bool(ledger.open_entries(self.database.name))
        return Turn(assessment, plan, incident, in_flight)

    async def _load(self, moment: Moment) -> Ledger:
        limits = self.policy.limits
        horizon = max(limits.terminate.per, limits.restart.per, limits.restart_per_service.per)
        return await self._store.load(moment.at - horizon)

    async def _conclude(
        self, found: Sequence[tuple[Entry, Outcome]], incident: Incident | None, moment: Moment
    ) -> Incident | None:
        if not found:
            return incident
        await self._store.conclude([(entry.id, outcome) for entry, outcome in found])
        for entry, outcome in found:
            self._teller.finished(entry, outcome)
            await self._lock_if_refuted(entry, outcome)
        if incident is None:
            return None
        concluded = [replace(e, outcome=o) for e, o in found if e.intent.incident == incident.id]
        settled = incidents.settle(incident, concluded, self.policy.remediate, moment.at)
        if settled != incident:
            await self._store.save_incident(settled)
            wait = duration(self.policy.remediate.settle)
            self._teller.emit(Event.STEP_SETTLING, settled, settle=wait)
        return settled

    async def _lock_if_refuted(self, entry: Entry, outcome: Outcome) -> None:
        action = entry.intent.action
        if outcome.result is Result.REFUTED and isinstance(action, RestartReplica):
            scope = service_scope(action.replica.service)
            reason = f"{action.replica.name} was restarted: {outcome.detail}"
            await self._lock(Lock(scope, outcome.at, reason))

    async def _lock(self, lock: Lock, incident: Incident | None = None) -> None:
        await self._store.lock(lock)
        self._teller.emit(Event.LOCKED, incident, scope=lock.scope, because=lock.reason)

    async def _open(self, assessment: Assessment) -> Incident:
        moment = assessment.sample.moment
        identity = f"{moment.at:%Y%m%dT%H%M%S}-{self.database.name}"
        because = assessment.because(Level.CRITICAL)
        incident = incidents.open_incident(identity, self.database.name, assessment.sample, because)
        await self._store.save_incident(incident)
        self._teller.emit(
            Event.INCIDENT_OPENED, incident, because=because, used=incident.used, usable=incident.usable
        )
        return incident

    async def _stand_down(self, incident: Incident | None, ledger: Ledger, moment: Moment) -> Incident | None:
        """Close the incident, once nothing of it is in flight any more."""
        if incident is None or ledger.open_entries(self.database.name):
            return incident
        closed = incidents.close(incident, moment.at)
        await self._store.save_incident(closed)
        lasted = duration(moment.at - incident.opened_at)
        self._teller.emit(Event.INCIDENT_CLOSED, closed, lasted=lasted, rounds=closed.round)
        return None

    async def _climb(
        self, assessment: Assessment, incident: Incident, ledger: Ledger
    ) -> tuple[Incident, Plan]:
        """Make a plan and carry out what is due of it."""
        sample = assessment.sample
        evidence = critical_evidence(self.policy, sample)
        objections, detail = gate(self.database.name, sample, evidence, incident, ledger, sample.moment.at)
        if objections or (incident.phase is Phase.RELIEVED and evidence is Evidence.CLEAR):
            plan = Plan(objections=objections, detail=detail, relieved=not objections)
            self._teller.plan(incident, plan) if objections else None
            return incident, plan
        survey = await self.survey()
        async with self._deciding:
            ledger = await self._load(sample.moment)
            situation = Situation(self.database.name, self.policy, sample, incident, ledger, survey)
            plan = decide(situation)
            if plan.renews:
                incident = incidents.renew(incident)
                self._teller.emit(Event.ROUND_STARTED, incident, round=incident.round)
            self._teller.plan(incident, plan)
            step = plan.next_step
            if step is None:
                return await self._rest(plan, incident, ledger, sample.moment), plan
            incident, entries = await self._actor.intend(incident, step, sample.moment)
        found = await self._actor.act(step.step, entries, sample.moment)
        return await self._conclude(found, incident, sample.moment) or incident, plan

    async def survey(self) -> Survey:
        """Read the sessions and the replicas that the policy's steps are about."""
        steps = self.policy.remediate.steps
        sessions: tuple[Session, ...] | Trouble = ()
        if any(isinstance(step, TerminateIdle) for step in steps):
            sessions = await self._read_sessions()
        names = {step.service for step in steps if isinstance(step, RestartService)}
        services = {name: await read_replicas(self._runtimes.get(name)) for name in sorted(names)}
        return Survey(sessions, services)

    async def _read_sessions(self) -> tuple[Session, ...] | Trouble:
        try:
            return await self.database.sessions()
        except UnavailableError as error:
            return Trouble(TroubleKind.UNREACHABLE, str(error))

    async def _rest(self, plan: Plan, incident: Incident, ledger: Ledger, moment: Moment) -> Incident:
        """Note that the plan has nothing to do now: relief, or a hold."""
        if plan.relieved:
            rested = incidents.relieve(incident, moment.at)
            if rested.phase is not incident.phase:
                seconds = (moment.at - incident.opened_at).total_seconds()
                self._teller.emit(Event.INCIDENT_RELIEVED, rested, seconds=round(seconds, 3))
        elif plan.exhausted:
            rested = incidents.exhaust(incident, ledger, self.policy.remediate, moment.at)
            if rested != incident:
                reasons = hold_reasons(plan)
                self._teller.emit(Event.INCIDENT_HELD, rested, because=reasons, round=incident.round)
            await self._lock_if_failing(incident, rested, moment)
        else:
            return incident
        if rested != incident or plan.renews:
            await self._store.save_incident(rested)
        return rested

    async def _lock_if_failing(self, before: Incident, after: Incident, moment: Moment) -> None:
        limit = self.policy.limits.failed_rounds
        if after.failed_rounds > before.failed_rounds and after.failed_rounds % limit == 0:
            reason = f"{count(limit, 'round')} without relief in incident {after.id}"
            await self._lock(Lock(database_scope(self.database.name), moment.at, reason), after)
