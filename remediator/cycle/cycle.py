"""The cycle of one database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from remediator.core import incident as incidents
from remediator.core.assess import Assessment, Watch, assess, critical_evidence
from remediator.core.attribution import Attribution
from remediator.core.clock import stamped
from remediator.core.decide import Situation, decide
from remediator.core.events import Event
from remediator.core.foresight import foresee
from remediator.core.guards import MERELY_HELD, gate
from remediator.core.ledger import Entry, Incident, Ledger, Outcome, Phase
from remediator.core.maintenance import Recurrence, Window
from remediator.core.model import Evidence, Level, Mode, Moment, Sample
from remediator.core.plan import Objection, Plan, Survey
from remediator.core.policy import Policy
from remediator.core.service import Service
from remediator.core.turn import Orders, Turn
from remediator.cycle.acting import Actor
from remediator.cycle.attributing import Attributor
from remediator.cycle.bookkeeping import Bookkeeping
from remediator.cycle.concluding import Concluder
from remediator.cycle.lineage import Lineage
from remediator.cycle.questioning import Questioner
from remediator.cycle.sight import Sight, confirmed, lasted
from remediator.cycle.surveying import survey
from remediator.cycle.telling import Teller
from remediator.cycle.timekeeping import Timekeeper
from remediator.cycle.verifying import Verifier
from remediator.errors import LedgerError
from remediator.ports import Clock, Database, Follower, LedgerStore, Observer, Runtime


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
        timekeeper: Shared by all cycles, so that a jump of the clock is told once.
        fence: Raises LedgerError when we are no longer the only one who may act.
        windows: Tells which of a policy's maintenance windows is in force at a time.
        attributor: Tells whose sessions are whose.
        follower: Gets to see each completed cycle as a whole.
        verifier: Makes whoever looks for what came of actions.
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
        timekeeper: Timekeeper | None = None,
        fence: Callable[[], None] = lambda: None,
        windows: Callable[[Sequence[Recurrence], datetime], Window | None] = lambda *_: None,
        attributor: Attributor | None = None,
        follower: Follower | None = None,
        verifier: Callable[..., Verifier] = Verifier,
    ) -> None:
        self.database = database
        self.policy = policy
        self._runtimes = runtimes
        self._store = store
        self._clock = clock
        self._windows = windows
        self._deciding = deciding
        self._timekeeper = timekeeper or Timekeeper(store, observer)
        self._teller = Teller(observer, database.name, mode)
        self._lineage = Lineage(self._teller)
        self._verifier = verifier(database, services, runtimes, self._lineage)
        self._attributor = attributor or Attributor()
        self._follower = follower
        self._sight = Sight(database, self._attributor, self._lineage, self._teller, clock, self._timekeeper)
        self._actor = Actor(database, store, self._verifier, self._teller, self._sight, Questioner(runtimes))
        self._concluder = Concluder(store, self._teller)
        self._books = Bookkeeping(store, self._teller, fence)
        self._resumed = False
        self._engaged = True  # there may be an incident or an open intent from before

    async def run(self, moment: Moment) -> Turn:
        """Go through one cycle."""
        moment = await self._timekeeper.stamp(moment)
        if not self._resumed:
            await self._resume(moment)
        assessment = await self._sight.look(self.policy, moment)
        window = self.maintenance(moment)
        self._teller.maintenance(window)
        turn = Turn(assessment)
        if assessment.level is Level.CRITICAL or self._engaged or self._books.due(moment):
            turn = await self._remediate(assessment)
        self._teller.cycle(assessment, turn.incident, self._clock.now().mono - moment.mono)
        turn = turn if window is None else replace(turn, maintenance=window)
        if self._follower is not None:
            self._follower.completed(self.database.name, self.policy, turn)
        return turn

    async def _resume(self, moment: Moment) -> None:
        """Hold the critical level while an incident from before is open: it must be seen to clear."""
        with suppress(LedgerError):  # said where it is needed; the next cycle tries again
            if (await self._load(moment)).open_incident(self.database.name):
                watch = self._sight.watch
                self._sight.watch = replace(watch, held=watch.held | {Level.CRITICAL})
            self._resumed = True

    async def look(self, moment: Moment) -> Assessment:
        """Judge one sample by itself; nothing is recorded, said or done."""
        return assess(self.policy, Watch(), await self._sight.sample(moment))

    async def look_ahead(self, moment: Moment) -> Turn:
        """Plan as if critical were confirmed now; nothing is recorded, said or done.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        return await self.foresee(await self.look(stamped(moment, await self._store.clock())))

    async def foresee(self, assessment: Assessment) -> Turn:
        """Plan as if critical were confirmed by this sample; nothing is recorded, said or done.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        moment = assessment.sample.moment
        ledger = await self._load(moment)
        seen = await self._survey(self.policy)
        window = self.maintenance(moment)
        return foresee(self.database.name, self.policy, assessment, ledger, seen, window)

    async def _survey(self, policy: Policy, planned: Callable[[Survey], Plan] | None = None) -> Survey:
        return await survey(self.database, policy, self._runtimes, self._attributor.latest, planned)

    @property
    def attribution(self) -> Attribution:
        """Who lives where, as of the last look."""
        return self._attributor.latest

    def maintenance(self, moment: Moment) -> Window | None:
        """The maintenance window that is in force."""
        return self._windows(self.policy.maintenance, moment.at)

    async def _remediate(self, assessment: Assessment) -> Turn:
        try:
            turn = await self._take_turn(assessment)
        except LedgerError as error:
            self._books.failed(error, assessment)
            held = Plan(objections=(Objection.LEDGER_UNAVAILABLE,), detail=str(error))
            return Turn(assessment, held)
        self._books.worked()
        return turn

    async def _take_turn(self, assessment: Assessment) -> Turn:
        moment = assessment.sample.moment
        await self._books.examine(moment)
        ledger = await self._load(moment)
        incident = ledger.open_incident(self.database.name)
        if incident is not None:
            incident = await self._bounded(incident, assessment.sample)
        # After a crash this is how the past is caught up with: the same look as at any other time.
        found = await self._actor.outcomes(
            self.policy, assessment, incident, ledger, self.maintenance(moment)
        )
        if found:
            incident = await self._conclude(found, incident, moment)
            ledger = await self._load(moment)
        plan, seen = None, None
        if assessment.level is not Level.CRITICAL:
            incident = await self._stand_down(incident, ledger, moment)
        else:
            if incident is None:
                incident = await self._open(assessment)
            incident, plan, seen = await self._climb(assessment, incident, ledger)
        if plan is not None and plan.next_step is not None:
            ledger = await self._load(moment)
        in_flight = len(ledger.open_entries(self.database.name))
        self._engaged = incident is not None or in_flight > 0
        renewed, orders = self._sight.renewed, Orders(ledger.pause, ledger.locks)
        return Turn(assessment, plan, incident, in_flight, survey=seen, renewed=renewed, orders=orders)

    async def _bounded(self, incident: Incident, sample: Sample) -> Incident:
        """Keep a clock set back from making a wait longer, and a ladder from spanning two servers."""
        bounded = incidents.bounded(incident, self.policy.remediate, sample.moment.steady)
        bounded = incidents.begin_anew(bounded) if sample.replaced else bounded
        if bounded != incident:
            await self._store.save_incident(bounded)
        return bounded

    async def _load(self, moment: Moment) -> Ledger:
        return await self._store.load(moment.steady - self.policy.limits.horizon)

    async def _conclude(
        self, found: Sequence[tuple[Entry, Outcome]], incident: Incident | None, moment: Moment
    ) -> Incident | None:
        return await self._concluder.conclude(found, incident, self.policy.remediate, moment)

    async def _open(self, assessment: Assessment) -> Incident:
        identity = incidents.identity_of(self.database.name, assessment.sample.moment.at)
        because, ladder = assessment.because(Level.CRITICAL), self.policy.remediate.ladder
        incident = incidents.open_incident(identity, self.database.name, assessment.sample, because, ladder)
        await self._store.save_incident(incident)
        self._teller.opened(incident, assessment)
        return incident

    async def _stand_down(self, incident: Incident | None, ledger: Ledger, moment: Moment) -> Incident | None:
        """Close the incident, once nothing of it is in flight any more."""
        if incident is None or ledger.open_entries(self.database.name):
            return incident
        await self._concluder.close(incident, moment)
        return None

    async def _climb(
        self, assessment: Assessment, incident: Incident, ledger: Ledger
    ) -> tuple[Incident, Plan, Survey | None]:
        """Go on with an open incident, unless something stops everything; tell what was seen for it, too."""
        sample, policy = assessment.sample, self.policy  # a reload may come at any await
        incident = await self._concluder.on_ladder(incident, policy.remediate)
        relieved = incident.phase is Phase.RELIEVED
        evidence = critical_evidence(policy, sample, relieved=relieved)
        window = self.maintenance(sample.moment)
        objections, details = gate(
            self.database.name, sample, evidence, incident, ledger, window, sample.moment.steady
        )
        if not objections and evidence is Evidence.BREACH and not lasted(policy, assessment):
            objections, details = (Objection.UNCONFIRMED,), ("",)
        if objections or (relieved and evidence is Evidence.CLEAR):
            plan = Plan.stopped(objections, details, relieved=not objections)
            if not (relieved and evidence is Evidence.CLEAR):  # then there is nothing to hold
                self._teller.plan(incident, plan, sample.moment)
            if evidence is Evidence.CLEAR and not relieved and MERELY_HELD.issuperset(objections):
                incident = await self._concluder.relieve(incident, sample.moment)
            return incident, plan, None
        situation = Situation(
            self.database.name, policy, sample, incident, ledger, Survey((), {}), maintenance=window
        )
        return await self._step(assessment, situation)

    async def _step(self, assessment: Assessment, situation: Situation) -> tuple[Incident, Plan, Survey]:
        """Look at all that the steps are about, make a plan, and carry out what is due of it."""
        policy, incident = situation.policy, situation.incident
        seen = await self._survey(policy, lambda seen: decide(replace(situation, survey=seen)))
        renewed = await self._sight.renew(policy, assessment)
        sample = renewed.sample
        if renewed is not assessment:
            incident = await self._bounded(incident, sample)
            if not confirmed(policy, renewed, relieved=incident.phase is Phase.RELIEVED):
                return incident, Plan(objections=(Objection.UNCONFIRMED,)), seen
        window = self.maintenance(sample.moment)
        situation = replace(situation, sample=sample, incident=incident, maintenance=window)
        async with self._deciding:
            ledger = await self._load(sample.moment)
            plan = decide(replace(situation, ledger=ledger, survey=seen))
            if plan.relapsed or plan.renews:
                incident = incidents.relapse(incident, new_round=plan.renews)
            if plan.relapsed:
                self._teller.emit(
                    Event.INCIDENT_RELAPSED, incident, round=incident.round, step=incident.step + 1
                )
            self._teller.plan(incident, plan, sample.moment)
            step = plan.next_step
            if step is None:
                return await self._rest(plan, incident, ledger, sample.moment), plan, seen
            await self._timekeeper.keep(sample.moment)
            incident, entries = await self._actor.intend(incident, step, sample.moment)
        found = await self._actor.act(step.step, entries, sample.moment)
        return await self._conclude(found, incident, sample.moment) or incident, plan, seen

    async def _rest(self, plan: Plan, incident: Incident, ledger: Ledger, moment: Moment) -> Incident:
        """Note that the plan has nothing to do now: relief, or a hold."""
        if plan.relieved:
            return await self._concluder.relieve(incident, moment)
        if not plan.exhausted:
            return incident
        rested = incidents.exhaust(incident, ledger, self.policy.remediate, moment.steady)
        limit = self.policy.limits.failed_rounds
        rested = await self._concluder.lock_if_failing(incident, rested, ledger, limit, moment)
        if rested != incident or plan.relapsed:
            await self._store.save_incident(rested)
        return rested
