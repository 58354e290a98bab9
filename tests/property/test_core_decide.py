"""Whatever the situation: no more is done than is needed and allowed, and nothing that is spared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from remediator.core.decide import Situation, decide
from remediator.core.incident import due
from remediator.core.ledger import Ledger, Lock, Pause, Result
from remediator.core.model import Level, ReplicaState, Session, SessionGroup, Slots
from remediator.core.onpaper import UNSEEN
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import Act, Objection, Plan, RestartReplica, StepPlan, TerminateSession
from remediator.core.policy import Policy, RestartService, TerminateIdle, When
from tests.builders import START, make_entry, make_replica, make_sample
from tests.property.core_strategies import grouped, ratios, situations

if TYPE_CHECKING:
    from datetime import timedelta
    from random import Random


def may_go(session: Session, policy: Policy, older_than: timedelta) -> bool:
    """What the policy's author was told, in other words than the core's: whom it may ever cost."""
    if session.hidden or session.own or session.superuser:
        return False
    if session.listening or session.advisory_lock or session.in_transaction:
        return False
    if session.backend_type != "client backend" or session.state != "idle" or session.state_change is None:
        return False
    if session.idle_for < older_than.total_seconds():
        return False
    spare = policy.spare
    if [p for p in spare.users if fnmatchcase(session.user or "", p)]:
        return False
    return not [p for p in spare.applications if fnmatchcase(session.application, p)]


def sessions_of(step: StepPlan) -> list[Session]:
    """The sessions that a step would terminate, in order."""
    return [act.action.session for act in step.acts if isinstance(act.action, TerminateSession)]


@given(situations())
def test_nobody_who_is_spared_is_ever_terminated(situation: Situation) -> None:
    """And everybody who is not spared is held for another reason, or goes."""
    plan = decide(situation)
    for step in plan.steps:
        if not isinstance(step.step, TerminateIdle):
            continue
        for session in sessions_of(step):
            assert may_go(session, situation.policy, step.step.older_than)
        others = {Objection.ENOUGH, Objection.STEP_LIMIT, Objection.RATE_LIMIT, Objection.SIMULATED}
        others.add(Objection.BLAST_RADIUS)
        if Objection.UNKNOWN_EVIDENCE in plan.objections:
            assert not step.acts
            others.add(Objection.UNKNOWN_EVIDENCE)
        if Objection.MAY_NOT_SIGNAL in step.objections:
            assert not step.acts
            others.add(Objection.MAY_NOT_SIGNAL)
        if Objection.BLAST_RADIUS in step.objections:
            assert not step.acts
            others.add(Objection.BLAST_RADIUS)
        for hold in step.holds:
            assert isinstance(hold.action, TerminateSession)
            if not others & set(hold.objections):
                assert not may_go(hold.action.session, situation.policy, step.step.older_than)


@given(situations())
def test_every_session_and_every_replica_is_accounted_for_once(situation: Situation) -> None:
    """Nothing is forgotten and nothing is done twice."""
    sessions = situation.survey.sessions
    assert isinstance(sessions, tuple)
    for step in decide(situation).steps:
        if {Objection.NOT_NEEDED, Objection.NOT_FOUND} & set(step.objections):
            assert not step.proposals
            continue
        expected: Counter[object]
        if isinstance(step.step, TerminateIdle):
            expected = Counter(session.id for session in sessions)
        else:
            replicas = situation.survey.services[step.step.service]
            assert isinstance(replicas, tuple)
            expected = Counter(replica.id for replica in replicas)
        found: Counter[object] = Counter()
        for proposal in step.proposals:
            action = proposal.action
            found[action.session.id if isinstance(action, TerminateSession) else action.replica.id] += 1
        assert found == expected


@given(situations())
def test_oldest_first_and_never_beyond_target_step_or_rate(situation: Situation) -> None:
    """One more or one fewer act would break a promise."""
    limits, until = situation.policy.limits, situation.policy.remediate.until
    simulated = situation.ledger.simulated_sessions(situation.incident)
    assert isinstance(situation.survey.sessions, tuple)
    gone = sum(1 for session in situation.survey.sessions if session.id in simulated)
    slots = situation.sample.slots
    for step in decide(situation).steps:
        if not isinstance(step.step, TerminateIdle) or slots is None:
            continue
        going = sessions_of(step)
        staying = [
            hold.action.session
            for hold in step.holds
            if isinstance(hold.action, TerminateSession)
            and may_go(hold.action.session, situation.policy, step.step.older_than)
            and Objection.SIMULATED not in hold.objections
        ]
        assert all(old.idle_for >= young.idle_for for old in going for young in staying)
        assert [s.idle_for for s in going] == sorted((s.idle_for for s in going), reverse=True)
        used = slots.used - gone
        if going and situation.policy.levels[Level.CRITICAL].conditions.idle is None:
            assert (used - (len(going) - 1)) / slots.usable > until
        for cap in limits.terminate_per_step:
            assert len(going) <= (max(1, cap * used + 1e-9) if isinstance(cap, float) else cap)
        for rate in limits.terminate:
            times = situation.ledger.terminations(situation.database)
            spent = sum(1 for at in times if at > situation.now - rate.per)
            assert len(going) + spent <= max(spent, rate.count)


@given(ratios, st.integers(1, 300_000), st.integers(0, 300_000))
def test_the_excess_is_the_least_that_reaches_the_target(ratio: float, usable: int, used: int) -> None:
    """For every percentage and number of slots, though neither is exact in binary."""
    slots = Slots(usable, 0, 0, used)
    left = used - slots.excess(ratio)
    assert left / usable <= ratio
    assert left == used or (left + 1) / usable > ratio


@given(situations(), st.randoms(use_true_random=False))
def test_the_order_in_which_the_server_tells_of_its_sessions_does_not_matter(
    situation: Situation, random: Random
) -> None:
    """The same situation gives the same plan."""
    assert isinstance(situation.survey.sessions, tuple)
    shuffled = list(situation.survey.sessions)
    random.shuffle(shuffled)
    survey = replace(situation.survey, sessions=tuple(shuffled))
    assert decide(replace(situation, survey=survey)) == decide(situation)
    assert decide(situation) == decide(situation)


def nothing_happens(plan: Plan, objection: Objection) -> None:
    """Nothing is done, and nothing is concluded from it."""
    assert objection in plan.objections
    assert plan.next_step is None
    assert not plan.relieved
    assert not plan.exhausted


@given(situations())
def test_a_pause_stops_everything(situation: Situation) -> None:
    """Whatever else is the case."""
    nothing_happens(
        decide(replace(situation, ledger=replace(situation.ledger, pause=Pause(START, None)))),
        Objection.PAUSED,
    )


@given(situations())
def test_a_locked_database_stops_everything(situation: Situation) -> None:
    """Whatever else is the case."""
    locks = (Lock(f"database:{situation.database}", START, "3 rounds"),)
    nothing_happens(
        decide(replace(situation, ledger=replace(situation.ledger, locks=locks))), Objection.LOCKED
    )


@given(situations())
def test_an_open_entry_stops_everything(situation: Situation) -> None:
    """Whatever else is the case."""
    entries = (*situation.ledger.entries, make_entry(id=99, incident="i0"))
    nothing_happens(decide(replace(situation, ledger=Ledger(entries))), Objection.IN_FLIGHT)


@given(situations())
def test_no_reading_stops_everything(situation: Situation) -> None:
    """Whatever else is the case."""
    sample = make_sample(used=None, probe=None)
    nothing_happens(decide(replace(situation, sample=sample)), Objection.UNKNOWN_EVIDENCE)


@given(situations())
def test_a_plan_does_something_waits_is_relieved_or_exhausted(situation: Situation) -> None:
    """One of these, never two and never none, or an incident would be stuck."""
    plan = decide(situation)
    assert [bool(plan.objections), plan.next_step is not None, plan.relieved, plan.exhausted].count(True) == 1


@given(situations(free=True))
def test_steps_are_taken_in_order_and_none_that_is_not_needed(situation: Situation) -> None:
    """Only those that always have their turn are taken when the database is no longer critical."""
    plan = decide(situation)
    assert [step.index for step in plan.steps] == list(
        range(situation.incident.step, len(situation.policy.remediate.steps))
    )
    if plan.relieved:
        assert all(not step.acts for step in plan.steps)
    for step in plan.steps:
        if Objection.NOT_NEEDED in step.objections:
            assert step.step.when is When.STILL_CRITICAL
    acting = [step for step in plan.steps if step.acts]
    for step in acting[:1]:
        assert not step.conditional
    for step in acting[1:]:
        assert step.conditional == (step.step.when is When.STILL_CRITICAL)


@given(situations())
def test_replicas_are_restarted_one_at_a_time_and_only_those_that_may_be(situation: Situation) -> None:
    """Whatever the order of steps."""
    for step in decide(situation).steps:
        for act in step.acts:
            if isinstance(act.action, RestartReplica):
                assert act.action.replica.exempt is None
                assert act.action.replica.state is ReplicaState.RUNNING
                assert len(due(step)) == 1


@given(situations())
def test_a_locked_service_is_never_restarted(situation: Situation) -> None:
    """By no step, begun or not."""
    locks = (Lock("service:celery", START, "it exited"),)
    for step in decide(replace(situation, ledger=replace(situation.ledger, locks=locks))).steps:
        if isinstance(step.step, RestartService) and step.step.service == "celery":
            assert not step.acts


@given(situations(free=True))
def test_a_simulated_restart_weighs_what_a_real_one_weighs(situation: Situation) -> None:
    """The ledgers of a dry run and of enforcing lead to the same plan."""

    def with_result(result: Result) -> Situation:
        entries = tuple(
            replace(e, outcome=replace(e.outcome, result=result))
            if isinstance(e.intent.action, RestartReplica)
            and e.outcome is not None
            and e.outcome.result is not Result.CHANGED
            else e
            for e in situation.ledger.entries
        )
        return replace(situation, ledger=Ledger(entries))

    dry = decide(with_result(Result.SIMULATED))
    assert replace(dry, detail=dry.detail.removesuffix(UNSEEN)) == decide(with_result(Result.CONFIRMED))


@given(situations(free=True), st.data())
def test_a_dry_run_plans_what_enforcing_would_after_the_same_restart(
    situation: Situation, data: st.DataObject
) -> None:
    """Sessions of the service that was restarted in its mind are there, but count as gone; others do not."""
    present, slots = situation.survey.sessions, situation.sample.slots
    assert isinstance(present, tuple)
    assume(present and slots is not None)
    clients = [s for s in present if s.backend_type == "client backend" and not s.hidden]
    its = data.draw(st.lists(st.sampled_from(clients), unique=True) if clients else st.just([]))
    named = tuple(replace(s, owner=CELERY, address="10.9.0.1") if s in its else s for s in present)
    rest = tuple(s for s in named if s.owner != CELERY)
    replica = replace(make_replica(), addresses=frozenset({"10.9.0.1"}))

    def planned(result: Result, sessions: tuple[Session, ...]) -> Plan:
        """As enforcing finds the world afterwards, or as a dry run does."""
        entry = make_entry(id=100, action=RestartReplica(replica), result=result)
        groups = Counter(
            (s.owner, s.user or "", s.application, s.address, s.state or "", age_of(s, situation.policy))
            for s in sessions
        )
        sample = replace(
            situation.sample.without(len(named) - len(sessions)),
            groups=tuple(
                SessionGroup(user, application, address, state, age, number, owner=owner)
                for (owner, user, application, address, state, age), number in groups.items()
            ),
        )
        others = (e for e in situation.ledger.entries if isinstance(e.intent.action, RestartReplica))
        return decide(
            replace(
                situation,
                sample=sample,
                ledger=Ledger((*(e for e in others if e.outcome and e.outcome.result not in _DRY), entry)),
                survey=replace(situation.survey, sessions=sessions),
            )
        )

    dry, real = planned(Result.SIMULATED, named), planned(Result.CONFIRMED, rest)
    assert (dry.relieved, dry.exhausted, dry.objections) == (real.relieved, real.exhausted, real.objections)
    assert [step.acts for step in dry.steps] == [step.acts for step in real.steps]


CELERY = Owner(OwnerKind.SERVICE, "celery")
_DRY = frozenset({Result.SIMULATED})


def age_of(session: Session, policy: Policy) -> float:
    """The longest of the policy's cutoffs that a session has been idle for."""
    ages = (0.0, *(cutoff.total_seconds() for cutoff in policy.cutoffs))
    return max(age for age in ages if age <= session.idle_for)


@given(situations(free=True), st.data())
def test_a_dry_run_plans_what_enforcing_would_after_the_same_terminations(
    situation: Situation, data: st.DataObject
) -> None:
    """Sessions that it has terminated in its mind are there, but count as gone."""
    sessions = situation.survey.sessions
    slots = situation.sample.slots
    assert isinstance(sessions, tuple)
    assume(sessions and slots is not None)
    assert slots is not None
    idle = [s for s in sessions if s.state == "idle" and s.backend_type == "client backend"]
    gone = data.draw(st.lists(st.sampled_from(idle), unique=True) if idle else st.just([]))
    rest = tuple(s for s in sessions if s not in gone)

    def ledger(result: Result) -> Ledger:
        entries = tuple(
            make_entry(id=100 + i, action=TerminateSession(s), result=result) for i, s in enumerate(gone)
        )
        others = (e for e in situation.ledger.entries if isinstance(e.intent.action, RestartReplica))
        return Ledger((*others, *entries))

    dry = decide(replace(situation, ledger=ledger(Result.SIMULATED)))
    real_sample = situation.sample.without(len(gone))
    real_sample = replace(
        real_sample,
        groups=grouped(situation.policy, rest),
    )
    real = decide(
        replace(
            situation,
            sample=real_sample,
            ledger=ledger(Result.CONFIRMED),
            survey=replace(situation.survey, sessions=rest),
        )
    )
    assert (dry.relieved, dry.exhausted, dry.objections) == (real.relieved, real.exhausted, real.objections)
    assert [step.acts for step in dry.steps] == [step.acts for step in real.steps]
    for step in dry.steps:
        for hold in step.holds:
            if isinstance(hold.action, TerminateSession):
                assert (Objection.SIMULATED in hold.objections) == (hold.action.session in gone)


@given(situations())
def test_every_act_has_a_reason_and_every_hold_an_objection(situation: Situation) -> None:
    """Nothing is left unexplained."""
    for step in decide(situation).steps:
        for proposal in step.proposals:
            assert proposal.because if isinstance(proposal, Act) else proposal.objections


def test_the_strategies_reach_what_the_properties_are_about() -> None:
    """Every kind of plan comes up, and every objection to a session, or the properties prove nothing."""
    reached: Counter[object] = Counter()

    @settings(derandomize=True, database=None, max_examples=1500)
    @given(situations(free=True))
    def collect(situation: Situation) -> None:
        plan = decide(situation)
        reached.update({"relieved": plan.relieved, "exhausted": plan.exhausted})
        for step in plan.steps:
            reached[type(step.step), bool(step.acts)] += 1
            reached.update(objection for hold in step.holds for objection in hold.objections)

    collect()
    wanted: list[object] = ["relieved", "exhausted"]
    wanted += [(kind, acts) for kind in (TerminateIdle, RestartService) for acts in (True, False)]
    wanted += [
        Objection.NOT_CLIENT,
        Objection.HIDDEN,
        Objection.SUPERUSER,
        Objection.OWN_SESSION,
        Objection.ACTIVE,
        Objection.IN_TRANSACTION,
        Objection.ADVISORY_LOCK,
        Objection.LISTENING,
        Objection.SPARED_USER,
        Objection.SPARED_APPLICATION,
        Objection.TOO_YOUNG,
        Objection.ENOUGH,
        Objection.STEP_LIMIT,
        Objection.COOLDOWN,
        Objection.NOT_RUNNING,
        Objection.EXEMPT,
        Objection.ALREADY_RESTARTED,
    ]
    assert [what for what in wanted if not reached[what]] == []
