"""The culprit: the one service that holds the leaked slots, and nobody when that is not clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.attribution import Attribution
from remediator.core.culprit import Blame, blame
from remediator.core.decide import Situation, decide
from remediator.core.directory import Directory, Tenant
from remediator.core.ledger import Entry, Ledger, Lock, Result
from remediator.core.model import IDLE, Replica, Sample, SessionGroup
from remediator.core.owner import UNATTRIBUTED, Owner, OwnerKind
from remediator.core.plan import Objection, Plan, RestartReplica, Survey, TerminateSession
from remediator.core.policy import RestartService, Spare, Step
from remediator.core.suspicion import Otherwise, Suspicion
from tests.builders import (
    DATABASE,
    START,
    make_entry,
    make_group,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_session,
)

API, CELERY = (Owner(OwnerKind.SERVICE, name) for name in ("api", "celery"))
ORPHAN = Owner(OwnerKind.ORPHAN, "celery")
OTHER_OWNERS = {
    "web": Owner(OwnerKind.SERVICE, "web"),
    "metabase": Owner(OwnerKind.CLIENT, "metabase"),
    "stranger": Owner(OwnerKind.CONTAINER, "stranger"),
    "pooler": Owner(OwnerKind.POOLER, "pgbouncer"),
    "host": Owner(OwnerKind.HOST),
    "sharing": Owner(OwnerKind.SHARED, "celery"),
}
SUSPICION = Suspicion(("celery", "api"), older_than=timedelta(minutes=10))


def holding(**held: int) -> tuple[SessionGroup, ...]:
    """Groups of sessions that have been idle for ten minutes, by owner."""
    owners = {"api": API, "celery": CELERY, "orphans": ORPHAN, "nobody": UNATTRIBUTED} | OTHER_OWNERS
    return tuple(replace(make_group(count=n), owner=owners[name]) for name, n in held.items())


def sample(groups: Sequence[SessionGroup], *, used: int = 96) -> Sample:
    """A sample with these groups."""
    return make_sample(used=used, groups=groups)


def culprit(groups: Sequence[SessionGroup], *entries: Entry) -> str | None:
    """The culprit of a sample."""
    return blame(make_policy(), SUSPICION, sample(groups), make_incident(), Ledger(entries)).service


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"api": 40, "celery": 3}, "api"),
        ({"celery": 40, "api": 3}, "celery"),
        ({"api": 10}, "api"),
        ({"api": 9}, None),
        ({"api": 20, "celery": 20}, None),
        ({"api": 20, "celery": 19, "nobody": 10}, None),
        ({"api": 20, "nobody": 30}, None),
        ({"api": 20, "orphans": 30}, None),
        ({"api": 30, "orphans": 30}, "api"),
        ({}, None),
    ],
)
def test_the_culprit_holds_most_of_the_leaked_sessions(held: dict[str, int], expected: str | None) -> None:
    """Half of them and a tenth of the slots, with these figures; sessions of nobody count for nobody."""
    assert culprit(holding(**held)) == expected


def test_only_sessions_that_have_been_idle_for_long_are_leaked() -> None:
    """In a peak many are busy, or have been a moment ago."""
    young = [replace(g, idle_for_at_least=0.0) for g in holding(api=80)]
    busy = [replace(g, state="active") for g in holding(api=80)]
    assert culprit([*young, *busy]) is None
    assert culprit([*young, *busy, *holding(celery=10)]) == "celery"


def test_an_idle_transaction_holds_a_slot_like_any_idle_session() -> None:
    """And is a leak like one."""
    assert culprit([replace(g, state=f"{IDLE} in transaction") for g in holding(api=20)]) == "api"


def test_what_was_terminated_in_the_incident_counts_still() -> None:
    """When it is the restart's turn, the evidence has been terminated."""
    session = replace(make_session(), owner=API)
    gone = [make_entry(id=n, action=TerminateSession(session), result=Result.CONFIRMED) for n in range(15)]
    assert culprit(holding(celery=10), *gone) == "api"
    text = blame(
        make_policy(), SUSPICION, sample(holding(celery=10)), make_incident(), Ledger(tuple(gone))
    ).text
    assert text == "25 leaked sessions (10 there, 15 terminated): api 15 (60%), celery 10 (40%)"
    kept = [replace(e, outcome=replace(e.outcome, result=Result.CHANGED)) for e in gone if e.outcome]
    assert culprit(holding(celery=10), *kept) == "celery"
    earlier = [replace(e, intent=replace(e.intent, incident="i0")) for e in gone]
    assert culprit(holding(celery=10), *earlier) == "celery"
    simulated = [replace(e, outcome=replace(e.outcome, result=Result.SIMULATED)) for e in gone if e.outcome]
    assert culprit(holding(celery=10), *simulated) == "api"


def test_a_service_that_was_restarted_has_answered_for_what_was_terminated_before() -> None:
    """In the same incident another one may be the next culprit; what it leaks anew counts again."""
    session = TerminateSession(replace(make_session(), owner=API))
    restart = RestartReplica(replicas("api")[0])

    def entry(number: int, action: TerminateSession | RestartReplica, minutes: int) -> Entry:
        at = START + timedelta(minutes=minutes)
        return make_entry(id=number, action=action, result=Result.CONFIRMED, at=at)

    before = [entry(n, session, 0) for n in range(60)]
    restarted = entry(60, restart, 1)
    assert culprit(holding(celery=30), *before) == "api"
    assert culprit(holding(celery=30), *before, restarted) == "celery"
    anew = [entry(61 + n, session, 2) for n in range(40)]
    assert culprit(holding(celery=30), *before, restarted, *anew) == "api"


def test_a_share_is_exact() -> None:
    """55 % of 100 are 55, whatever binary fractions say."""
    suspicion = replace(SUSPICION, share=0.55)
    found = blame(make_policy(), suspicion, sample(holding(api=55, celery=45)), make_incident(), Ledger())
    assert found.service == "api"


def test_an_innocent_service_that_is_being_restarted_for_another_database_is_not_waited_for() -> None:
    """Nor one whose runtime does not answer: neither has anything to do with it."""
    elsewhere = make_entry(database="elsewhere", incident="i9", action=RestartReplica(replicas("celery")[0]))
    planned = plan(holding(api=40), Otherwise.HOLD, elsewhere)
    assert planned.next_step is not None
    assert planned.next_step.step == planned.steps[1].step
    assert planned.steps[0].objections == (Objection.NOT_CULPRIT,)


def test_a_restart_that_came_to_nothing_does_not_keep_the_question_from_being_asked() -> None:
    """Only one that was carried out does."""
    dropped = make_entry(action=RestartReplica(replicas("celery")[0]), result=Result.CHANGED)
    planned = plan(holding(api=40), Otherwise.HOLD, dropped)
    assert planned.next_step is not None
    assert planned.next_step.acts[0].action.label == "restart shop-api-1"


@given(st.dictionaries(st.sampled_from(["api", "celery", "orphans", "nobody"]), st.integers(0, 200)))
def test_a_culprit_is_one_of_those_suspected_and_holds_enough(held: dict[str, int]) -> None:
    """Whatever the numbers; and the words say them."""
    found = blame(make_policy(), SUSPICION, sample(holding(**held)), make_incident(), Ledger())
    if found.service is not None:
        assert held[found.service] >= 10
        assert 2 * held[found.service] >= sum(held.values())
        assert f"{found.service} {held[found.service]}" in found.text


def test_what_the_policy_spares_is_nobodys_leak() -> None:
    """The operator knows of it: it neither makes a culprit nor clears one."""
    policy = make_policy(spare=Spare(applications=("etl_*",)))
    spared = [replace(g, application="etl_nightly") for g in holding(celery=40)]

    def found(groups: Sequence[SessionGroup]) -> Blame:
        return blame(policy, SUSPICION, sample(groups), make_incident(), Ledger())

    assert culprit([*spared, *holding(api=20)]) == "celery"
    assert found(spared).service is None
    assert found([*spared, *holding(api=20)]).service == "api"
    assert found([*spared, *holding(api=20)]).text == "20 leaked sessions: api 20 (100%)"


def test_orphans_that_were_terminated_have_answered() -> None:
    """Whoever opened them has ended, and leaks no more: they clear nobody."""
    orphan = TerminateSession(replace(make_session(), owner=ORPHAN))
    gone = [make_entry(id=n, action=orphan, result=Result.CONFIRMED) for n in range(30)]
    assert culprit(holding(api=10, orphans=30)) is None
    assert culprit(holding(api=10), *gone) == "api"


def plan(
    groups: Sequence[SessionGroup], otherwise: Otherwise, *entries: Entry, locks: Sequence[Lock] = ()
) -> Plan:
    """What is planned when the only steps are about a culprit."""
    suspicion = replace(SUSPICION, otherwise=otherwise)
    steps: list[Step] = [RestartService(name, suspicion=suspicion) for name in suspicion.among]
    services = {name: replicas(name) for name in suspicion.among}
    return decide(
        Situation(
            DATABASE,
            make_policy(steps=steps),
            sample(groups),
            make_incident(),
            Ledger(entries, locks=tuple(locks)),
            Survey((), dict(services)),
        )
    )


def replicas(service: str) -> tuple[Replica, ...]:
    """Two replicas that have been up for long."""
    return tuple(
        make_replica(service=service, number=n, started_at=START - timedelta(days=1)) for n in (1, 2)
    )


def test_only_the_culprit_is_restarted() -> None:
    """The others say who it is."""
    planned = plan(holding(api=40, celery=5), Otherwise.HOLD)
    innocent, guilty = planned.steps
    assert innocent.objections == (Objection.NOT_CULPRIT,)
    assert innocent.acts == ()
    assert innocent.detail == "held by api: 45 leaked sessions: api 40 (88.9%), celery 5 (11.1%)"
    assert planned.next_step == guilty
    assert "api 40" in guilty.acts[0].because


def test_without_a_culprit_nothing_is_restarted_and_a_person_is_needed() -> None:
    """A peak is no reason to restart anything."""
    planned = plan(holding(api=3, celery=4), Otherwise.HOLD)
    assert planned.next_step is None
    assert planned.held
    assert {o for step in planned.steps for o in step.objections} == {Objection.NO_CULPRIT}


@pytest.mark.parametrize(("held", "why"), [({"api": 40}, Objection.NOT_CULPRIT), ({}, Objection.NO_CULPRIT)])
def test_a_lock_is_named_at_its_step_whoever_is_to_blame(held: dict[str, int], why: Objection) -> None:
    """A service that did not come back holds nothing, and would look merely innocent."""
    lock = Lock("service:celery", START, "shop-celery-1 was restarted: it started and then exited")
    locked, other = plan(holding(**held), Otherwise.HOLD, locks=[lock]).steps
    assert isinstance(locked.step, RestartService)
    if locked.step.service != "celery":
        locked, other = other, locked
    assert locked.objections == (why, Objection.SERVICE_LOCKED)
    assert locked.detail.endswith(f"; {lock.reason}")
    assert {hold.objections for hold in locked.holds} == {locked.objections}
    assert Objection.SERVICE_LOCKED not in other.objections


def test_without_a_culprit_the_order_decides_if_so_configured() -> None:
    """As the runbook would have it."""
    planned = plan(holding(api=3, celery=4), Otherwise.IN_ORDER)
    assert planned.next_step is not None
    assert planned.next_step.step == planned.steps[0].step
    assert "no clear culprit" in planned.steps[0].acts[0].because


OTHERS = [
    {"orphans": 40, "nobody": 5},
    {"orphans": 20, "nobody": 20},
    {"orphans": 40, "api": 20},
    {"metabase": 30},
    {"stranger": 30, "celery": 4},
    {"web": 40, "api": 12},
]
NOT_OTHERS = [
    {"orphans": 9},
    {"nobody": 40},
    {"pooler": 40},
    {"host": 40},
    {"sharing": 40},
    {"orphans": 14, "nobody": 15},
]


@pytest.mark.parametrize("otherwise", Otherwise)
@pytest.mark.parametrize("held", OTHERS)
def test_no_restart_is_tried_when_others_hold_the_leaked_slots(
    held: dict[str, int], otherwise: Otherwise
) -> None:
    """Of containers that have ended, of named clients, of services that are not suspected: it frees none."""
    planned = plan(holding(**held), otherwise)
    assert planned.next_step is None
    assert planned.held
    assert {o for step in planned.steps for o in step.objections} == {Objection.HELD_ELSEWHERE}
    assert all("leaked sessions: " in step.detail for step in planned.steps)


@pytest.mark.parametrize("held", NOT_OTHERS)
def test_what_may_be_anybodys_is_not_taken_for_others(held: dict[str, int]) -> None:
    """Behind a pooler, the host or a shared address may be a suspect; few orphans do not fill the server."""
    planned = plan(holding(**held), Otherwise.IN_ORDER)
    assert planned.next_step is not None
    assert "no clear culprit" in planned.steps[0].acts[0].because


def test_a_service_whose_network_a_sidecar_shares_is_restarted_in_the_order() -> None:
    """Given 60 leaked sessions from the address that both have, then they may be the service's."""
    celery = Tenant("shop-celery-1", "celery", frozenset({"172.18.0.5"}), START, shared=True)
    attribution = Attribution(Directory((celery,)))
    leaked = replace(make_group(count=60), address="172.18.0.5", oldest=START)
    groups = attribution.of_sample(sample([leaked])).groups
    ordered, strict = (plan(groups, otherwise) for otherwise in (Otherwise.IN_ORDER, Otherwise.HOLD))
    assert ordered.next_step is not None
    assert "60 leaked sessions: shared network of celery 60" in ordered.steps[0].acts[0].because
    assert {o for step in strict.steps for o in step.objections} == {Objection.NO_CULPRIT}


def test_a_restart_that_has_begun_goes_on_though_the_culprit_looks_innocent_by_then() -> None:
    """Its first replica has given its sessions back, that is what it was restarted for."""
    first, _ = replicas("celery")
    done = make_entry(action=RestartReplica(first), result=Result.CONFIRMED)
    planned = plan(holding(api=4), Otherwise.HOLD, done)
    assert planned.next_step is not None
    assert [a.action.label for a in planned.next_step.acts] == ["restart shop-celery-2"]
