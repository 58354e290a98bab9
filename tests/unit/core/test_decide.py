"""Plans: which step is next, every act and hold in it, and what stops everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from remediator.core.decide import Situation, decide
from remediator.core.ledger import Entry, Incident, Ledger, Lock, Outcome, Pause, Phase, Result
from remediator.core.model import (
    Exempt,
    Health,
    Level,
    Replica,
    ReplicaState,
    Sample,
    Session,
)
from remediator.core.plan import (
    Act,
    Hold,
    Objection,
    Plan,
    RestartReplica,
    StepPlan,
    Survey,
    TerminateSession,
)
from remediator.core.policy import (
    Backoff,
    Conditions,
    IdleCount,
    LevelRule,
    Policy,
    Rate,
    RestartService,
    TerminateIdle,
    When,
)
from remediator.core.trouble import Trouble, TroubleKind
from tests.builders import (
    REFUSED,
    START,
    TEN_MINUTES,
    make_entry,
    make_group,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_server,
    make_session,
    moment,
)

TROUBLE = Trouble(TroubleKind.TIMEOUT, "no answer within 5s")
SERVICES: Mapping[str, tuple[Replica, ...] | Trouble] = {
    "celery": (make_replica(number=1), make_replica(number=2)),
    "api": (make_replica(service="api"),),
}


def idle_sessions(number: int, *, oldest: float = 10_000.0) -> tuple[Session, ...]:
    """Sessions that may go, the first idle for longest."""
    return tuple(make_session(pid=100 + i, idle_for=oldest - i) for i in range(number))


def plan_for(
    *,
    policy: Policy | None = None,
    sample: Sample | None = None,
    incident: Incident | None = None,
    entries: Sequence[Entry] = (),
    pause: Pause | None = None,
    locks: Sequence[Lock] = (),
    sessions: tuple[Session, ...] | Trouble = (),
    services: Mapping[str, tuple[Replica, ...] | Trouble] = SERVICES,
    assume_critical: bool = False,
) -> Plan:
    """Decide on a critical database, with nothing done yet unless told."""
    situation = Situation(
        database="shop",
        policy=policy or make_policy(),
        sample=sample or make_sample(),
        incident=incident or make_incident(),
        ledger=Ledger(tuple(entries), (), pause, tuple(locks)),
        survey=Survey(sessions, dict(services)),
        assume_critical=assume_critical,
    )
    return decide(situation)


def pids(step: StepPlan) -> list[int]:
    """The sessions to be terminated, in order."""
    return [act.action.session.id.pid for act in step.acts if isinstance(act.action, TerminateSession)]


def names(step: StepPlan) -> list[str]:
    """The replicas to be restarted, in order."""
    return [act.action.replica.name for act in step.acts if isinstance(act.action, RestartReplica)]


def why(step: StepPlan) -> list[tuple[Objection, ...]]:
    """The objections of the holds, in order."""
    return [hold.objections for hold in step.holds]


def restarted(
    number: int = 1,
    *,
    service: str = "celery",
    step: int = 1,
    result: Result | None = Result.CONFIRMED,
    at: datetime = START,
    database: str = "shop",
    incident: str = "i1",
) -> Entry:
    """The entry of a replica's restart."""
    action = RestartReplica(make_replica(service=service, number=number))
    return make_entry(
        id=10 * step + number,
        action=action,
        step=step,
        result=result,
        at=at,
        database=database,
        incident=incident,
    )


@pytest.mark.parametrize(
    ("used", "until", "acts"),
    [(96, 0.5, 46), (91, 0.5, 41), (96, 0.85, 11), (96, 0.29, 60), (100, 0.29, 60)],
)
def test_no_more_sessions_go_than_the_target_needs(used: int, until: float, acts: int) -> None:
    """The oldest do; the others are held because it is enough without them."""
    policy = make_policy(until=until, per_step=1.0)
    step = plan_for(policy=policy, sample=make_sample(used=used), sessions=idle_sessions(60)).steps[0]
    assert pids(step) == list(range(100, 100 + acts))
    assert why(step) == [(Objection.ENOUGH,)] * (60 - acts)


@pytest.mark.parametrize("percentage", range(1, 90))
def test_a_percentage_of_a_hundred_slots_is_that_many(percentage: int) -> None:
    """0.29 * 100 is less than 29 in binary."""
    slots = make_sample(used=100).slots
    assert slots is not None
    assert slots.excess(percentage / 100) == 100 - percentage
    assert make_policy(per_step=percentage / 100).limits.terminate_cap(100) == percentage


@pytest.mark.parametrize(
    ("per_step", "acts"),
    [(0.5, 48), (0.25, 24), (0.29, 27), (10, 10), (1, 1), (1.0, 60), ((0.5, 10), 10), ((10, 0.5), 10)],
)
def test_the_limit_per_step_is_a_number_or_a_share_of_the_used_slots(
    per_step: float | Sequence[float], acts: int
) -> None:
    """Whatever the target needs."""
    policy = make_policy(until=0.1, per_step=per_step)
    step = plan_for(policy=policy, sample=make_sample(used=96), sessions=idle_sessions(60)).steps[0]
    assert len(step.acts) == acts
    assert why(step) == [(Objection.STEP_LIMIT,)] * (60 - acts)


@pytest.mark.parametrize(("result", "acts"), [(Result.CONFIRMED, 3), (None, 3), (Result.CHANGED, 10)])
def test_a_step_that_is_taken_up_again_in_its_round_keeps_to_its_limit(
    result: Result | None, acts: int
) -> None:
    """Of what was chosen some had changed, so others go in their stead; but not more in all."""
    done = [
        make_entry(id=i, action=TerminateSession(make_session(pid=10 + i)), result=result) for i in range(7)
    ]
    earlier = [replace(e, id=20 + e.id, intent=replace(e.intent, round=1)) for e in done]
    step = plan_for(
        policy=make_policy(until=0.1, per_step=10),
        incident=make_incident(round=2),
        entries=[*earlier, *(replace(e, intent=replace(e.intent, round=2)) for e in done)],
        sessions=idle_sessions(60),
    ).steps[0]
    assert len(step.acts) == acts
    assert why(step) == [(Objection.STEP_LIMIT,)] * (60 - acts)


@pytest.mark.parametrize(
    ("spent", "result", "acts"),
    [
        (0, Result.CONFIRMED, 20),
        (5, Result.CONFIRMED, 15),
        (19, Result.UNKNOWN, 1),
        (20, Result.CONFIRMED, 0),
        (25, Result.REFUTED, 0),
        (20, Result.CHANGED, 20),
    ],
)
def test_what_was_done_within_the_hour_is_taken_off(spent: int, result: Result, acts: int) -> None:
    """In an earlier incident too."""
    policy = make_policy(terminate=Rate(20, timedelta(hours=1)))
    entries = [make_entry(id=i, incident="i0", result=result) for i in range(spent)]
    step = plan_for(policy=policy, entries=entries, sessions=idle_sessions(30)).steps[0]
    assert len(step.acts) == acts
    assert why(step) == [(Objection.RATE_LIMIT,)] * (30 - acts)
    assert not step.objections


def test_spared_sessions_are_held_with_their_reasons_and_do_not_use_up_the_step() -> None:
    """Oldest first applies among those that may go."""
    sessions = (
        make_session(pid=1, idle_for=9000.0, superuser=True),
        make_session(pid=2, idle_for=5000.0),
        make_session(pid=3, idle_for=10.0),
        make_session(pid=4, idle_for=7000.0),
    )
    step = plan_for(policy=make_policy(per_step=1), sessions=sessions).steps[0]
    assert pids(step) == [4]
    reasons = {
        hold.action.session.id.pid: hold.objections
        for hold in step.holds
        if isinstance(hold.action, TerminateSession)
    }
    assert reasons == {
        1: (Objection.SUPERUSER,),
        2: (Objection.STEP_LIMIT,),
        3: (Objection.TOO_YOUNG,),
    }


def test_equally_old_sessions_go_in_the_order_of_their_pids() -> None:
    """The order in which the server told of them does not matter."""
    sessions = tuple(make_session(pid=pid) for pid in (3, 1, 2))
    assert pids(plan_for(sessions=sessions).steps[0]) == [1, 2, 3]


def test_the_step_says_when_everybody_is_spared() -> None:
    """The ladder goes on to the next step."""
    plan = plan_for(sessions=(make_session(superuser=True),))
    assert plan.steps[0].objections == (Objection.NO_CANDIDATES,)
    assert plan.steps[0].detail == "1 session spared"
    assert plan.next_step is plan.steps[1]


def test_without_a_reading_or_the_right_to_signal_no_session_goes() -> None:
    """The services can still be restarted."""
    unreadable = plan_for(sample=make_sample(used=None, probe=REFUSED), sessions=TROUBLE)
    assert unreadable.steps[0].objections == (Objection.UNREADABLE,)
    assert unreadable.steps[0].detail == TROUBLE.detail
    assert unreadable.next_step is unreadable.steps[1]
    sample = make_sample(server=make_server(can_signal=False))
    powerless = plan_for(sample=sample, sessions=idle_sessions(3))
    assert powerless.steps[0].objections == (Objection.MAY_NOT_SIGNAL,)
    assert [hold.objections for hold in powerless.steps[0].holds] == [(Objection.MAY_NOT_SIGNAL,)] * 3
    assert powerless.next_step is powerless.steps[1]


def test_an_unreadable_step_keeps_its_turn_while_no_other_has_something_to_do() -> None:
    """Docker that is away for a moment must not cost a round."""
    away: Mapping[str, tuple[Replica, ...] | Trouble] = {"celery": TROUBLE, "api": TROUBLE}
    plan = plan_for(incident=make_incident(step=1), services=away)
    assert plan.objections == (Objection.UNREADABLE,)
    assert plan.detail == TROUBLE.detail
    assert (plan.exhausted, plan.relieved, plan.held) == (False, False, True)


def test_while_a_step_cannot_be_read_sessions_that_have_grown_old_meanwhile_go() -> None:
    """The ladder goes back to terminations, but not to a restart that has had its turn."""
    away: Mapping[str, tuple[Replica, ...] | Trouble] = {"celery": SERVICES["celery"], "api": TROUBLE}
    plan = plan_for(incident=make_incident(step=2), services=away, sessions=idle_sessions(3))
    assert plan.objections == ()
    assert plan.next_step is plan.steps[0]
    assert pids(plan.steps[0])
    assert (plan.renews, plan.relapsed) == (True, False)
    plan = plan_for(incident=make_incident(step=2), services=away)
    assert [step.index for step in plan.steps] == [2]
    assert plan.objections == (Objection.UNREADABLE,)


@pytest.mark.parametrize(("unused", "acts"), [(4, 0), (5, 1), (9, 5)])
def test_sessions_never_used_that_make_it_critical_go_though_slots_are_free(unused: int, acts: int) -> None:
    """As many as there are too many of; those idle for longest first, as ever."""
    levels = {Level.CRITICAL: LevelRule(Conditions(never_used=IdleCount(TEN_MINUTES, 0.05)))}
    group = replace(make_group(idle_for_at_least=600.0, count=unused), unused=True)
    plan = plan_for(
        policy=make_policy(levels=levels),
        sample=make_sample(used=20, groups=(group,)),
        sessions=tuple(replace(session, unused=True) for session in idle_sessions(unused)),
        assume_critical=True,
    )
    assert len(plan.steps[0].acts) == acts


@pytest.mark.parametrize(("until", "used_ones"), [(0.7, 0), (0.4, 9)])
def test_what_was_never_used_goes_first_where_that_is_the_trouble(until: float, used_ones: int) -> None:
    """Ending what was used, however long it has been idle, cures nothing; the target may want some more."""
    levels = {Level.CRITICAL: LevelRule(Conditions(never_used=IdleCount(TEN_MINUTES, 10)))}
    used = [make_session(pid=pid, idle_for=1200.0) for pid in range(1, 41)]
    unused = [replace(make_session(pid=pid, idle_for=660.0), unused=True) for pid in range(41, 71)]
    groups = (
        make_group(idle_for_at_least=600.0, count=len(used)),
        replace(make_group(idle_for_at_least=600.0, count=len(unused)), unused=True),
    )
    plan = plan_for(
        policy=make_policy(levels=levels, until=until),
        sample=make_sample(used=70, groups=groups),
        sessions=(*used, *unused),
        assume_critical=True,
    )
    gone = pids(plan.steps[0])
    assert sum(pid > 40 for pid in gone) == 21
    assert sum(pid <= 40 for pid in gone) == used_ones


@pytest.mark.parametrize(("idle", "acts"), [(4, 0), (5, 1), (9, 5)])
def test_idle_sessions_that_make_it_critical_go_though_slots_are_free(idle: int, acts: int) -> None:
    """As many as take the count below the level's condition."""
    levels = {Level.CRITICAL: LevelRule(Conditions(idle=IdleCount(TEN_MINUTES, 5)))}
    sample = make_sample(used=20, groups=(make_group(idle_for_at_least=600.0, count=idle),))
    plan = plan_for(
        policy=make_policy(levels=levels), sample=sample, sessions=idle_sessions(idle), assume_critical=True
    )
    assert len(plan.steps[0].acts) == acts


def test_services_are_restarted_in_the_order_of_the_steps() -> None:
    """Only the next one for sure; the others if it does not help."""
    plan = plan_for(sessions=idle_sessions(3))
    assert [bool(step.acts) for step in plan.steps] == [True, True, True]
    assert [step.conditional for step in plan.steps] == [False, True, True]
    assert plan.next_step is plan.steps[0]
    assert names(plan.steps[1]) == ["shop-celery-1", "shop-celery-2"]


def test_steps_behind_are_not_planned_again() -> None:
    """The incident is past them in this round."""
    plan = plan_for(incident=make_incident(step=2), sessions=idle_sessions(3))
    assert [step.index for step in plan.steps] == [2]
    assert not plan.steps[0].conditional


def test_a_rolling_restart_goes_on_with_the_next_replica() -> None:
    """Its own first replica is no reason for a cooldown."""
    policy = make_policy(restart=Rate(1, timedelta(days=1)))
    plan = plan_for(policy=policy, incident=make_incident(step=1), entries=[restarted(1)])
    assert names(plan.steps[0]) == ["shop-celery-2"]
    assert why(plan.steps[0]) == [(Objection.ALREADY_RESTARTED,)]


def test_a_replica_that_was_renamed_since_its_restart_has_had_its_turn() -> None:
    """It is known by its id as well as by its name, which its replacement would keep."""
    renamed = (replace(make_replica(number=1), name="otherwise"), make_replica(number=2))
    plan = plan_for(
        incident=make_incident(step=1), entries=[restarted(1)], services={"celery": renamed, "api": ()}
    )
    assert names(plan.steps[0]) == ["shop-celery-2"]
    assert why(plan.steps[0]) == [(Objection.ALREADY_RESTARTED,)]


@pytest.mark.parametrize("result", [Result.REFUTED, Result.UNCONFIRMED, Result.UNKNOWN])
def test_a_rolling_restart_stops_at_a_replica_that_is_not_known_to_be_up(result: Result) -> None:
    """Or the whole service might go down."""
    plan = plan_for(incident=make_incident(step=1), entries=[restarted(1, result=result)])
    assert not plan.steps[0].acts
    assert plan.steps[0].objections == (Objection.NOT_UP,)
    assert plan.next_step is plan.steps[1]


@pytest.mark.parametrize(
    ("entries", "objections"),
    [
        # restarted in another incident, for this database or another one
        ([restarted(1, incident="i0")], (Objection.COOLDOWN,)),
        ([restarted(1, incident="b1", database="blog")], (Objection.COOLDOWN,)),
        ([restarted(1, incident="i0", result=Result.SIMULATED)], (Objection.COOLDOWN,)),
        # nothing was done
        ([restarted(1, incident="i0", result=Result.CHANGED)], ()),
        # half an hour has passed
        ([restarted(1, incident="i0", at=START - timedelta(minutes=30))], ()),
        ([restarted(1, incident="i0", at=START - timedelta(minutes=29))], (Objection.COOLDOWN,)),
        # a roll that was begun does not lift the limits for what others have done since
        ([restarted(1), restarted(2, incident="b1", database="blog")], (Objection.COOLDOWN,)),
        (
            [restarted(1, result=Result.DENIED), restarted(2, incident="b1", database="blog")],
            (Objection.COOLDOWN,),
        ),
        # nor does the restart of another service at the same place of the ladder
        ([restarted(1, service="api"), restarted(1, incident="i0")], (Objection.COOLDOWN,)),
        # the day's limit is the database's own
        (
            [
                restarted(1, service=f"s{i}", incident=f"i{i}", at=START - timedelta(hours=8))
                for i in (2, 3, 4)
            ],
            (Objection.RATE_LIMIT,),
        ),
        (
            [
                restarted(
                    1, service=f"s{i}", incident=f"b{i}", database="blog", at=START - timedelta(hours=8)
                )
                for i in (2, 3, 4)
            ],
            (),
        ),
    ],
)
def test_limits_of_restarts(entries: list[Entry], objections: tuple[Objection, ...]) -> None:
    """A service has a cooldown whoever restarted it; a database has a number per day."""
    plan = plan_for(incident=make_incident(step=1), entries=entries)
    assert plan.steps[0].objections == objections
    assert bool(plan.steps[0].acts) == (not objections)


def test_a_cooldown_says_when_it_ends() -> None:
    """With several in the window, the one that makes room counts, by its last replica."""
    policy = make_policy(restart_per_service=Rate(2, timedelta(minutes=30)), restart=Rate(9, TEN_MINUTES))
    entries = [
        restarted(1, incident="i7", at=START - timedelta(minutes=25)),
        restarted(1, incident="i8", at=START - timedelta(minutes=21)),
        restarted(2, incident="i8", at=START - timedelta(minutes=20)),
        restarted(1, incident="i9", at=START - timedelta(minutes=5)),
    ]
    step = plan_for(policy=policy, incident=make_incident(step=1), entries=entries).steps[0]
    assert step.detail == "limit 2 per 30m, again in 10m"


def test_of_several_rates_each_holds() -> None:
    """Three in an hour and four in a day: the day's limit holds when the hour's has room again."""
    policy = make_policy(
        restart_per_service=(Rate(3, timedelta(hours=1)), Rate(4, timedelta(days=1))),
        restart=Rate(9, timedelta(days=1)),
    )
    hours = (20, 3, 2, 1.5)
    entries = [restarted(1, incident=f"i{h}", at=START - timedelta(hours=h)) for h in hours]
    step = plan_for(policy=policy, incident=make_incident(step=1), entries=entries).steps[0]
    assert (step.objections, step.detail) == ((Objection.COOLDOWN,), "limit 4 per 1d, again in 4h")
    step = plan_for(policy=policy, incident=make_incident(step=1), entries=entries[1:]).steps[0]
    assert step.acts


def test_the_scarcest_of_several_rates_counts_for_terminations() -> None:
    """What it leaves is done, and the others are held with its words."""
    policy = make_policy(terminate=(Rate(20, timedelta(hours=1)), Rate(25, timedelta(days=1))))
    earlier = [make_entry(id=i, incident="i0", at=START - timedelta(hours=5)) for i in range(22)]
    done = [replace(e, outcome=Outcome(Result.CONFIRMED, START)) for e in earlier]
    step = plan_for(policy=policy, entries=done, sessions=idle_sessions(30)).steps[0]
    assert len(step.acts) == 3
    assert {(hold.objections, hold.detail) for hold in step.holds} == {
        ((Objection.RATE_LIMIT,), "limit 25 per 1d")
    }


@pytest.mark.parametrize(
    ("ago", "detail"),
    [
        ((31,), ""),
        ((29,), "backoff after 1 restart, again in 1m"),
        ((90, 50), "backoff after 2 restarts, again in 10m"),
        ((90, 61), ""),
        ((300, 150, 119), "backoff after 3 restarts, again in 1m"),
        ((400, 300, 150, 119), "backoff after 4 restarts, again in 1m"),
        ((2000, 1900, 31), ""),
    ],
)
def test_the_wait_between_restarts_of_a_service_grows(ago: tuple[int, ...], detail: str) -> None:
    """It doubles up to its cap; what is older than every limit is forgotten."""
    policy = make_policy(
        restart_per_service=Rate(9, timedelta(days=1)),
        restart=Rate(9, timedelta(days=1)),
        backoff=Backoff(timedelta(minutes=30), timedelta(hours=2)),
    )
    entries = [restarted(1, incident=f"i{m}", at=START - timedelta(minutes=m)) for m in ago]
    step = plan_for(policy=policy, incident=make_incident(step=1), entries=entries).steps[0]
    assert step.detail == detail
    assert step.objections == ((Objection.COOLDOWN,) if detail else ())


def test_a_locked_service_is_skipped_also_within_a_rolling_restart() -> None:
    """The others are not locked."""
    lock = Lock("service:celery", START, "shop-celery-1 was restarted: it exited")
    for entries in ([], [restarted(1)]):
        plan = plan_for(incident=make_incident(step=1), locks=[lock], entries=entries)
        assert plan.steps[0].objections == (Objection.SERVICE_LOCKED,)
        assert plan.steps[0].detail == lock.reason
        assert plan.next_step is plan.steps[1]


def test_a_service_under_restart_for_another_database_is_waited_for() -> None:
    """That restart may help; the ladder does not jump over it to a harsher step."""
    flying = restarted(1, incident="b1", database="blog", result=None)
    plan = plan_for(incident=make_incident(step=1), entries=[flying])
    assert plan.steps[1].acts
    assert plan.next_step is None
    assert plan.objections == (Objection.IN_FLIGHT,)
    assert (plan.relieved, plan.exhausted) == (False, False)
    earlier = plan_for(sessions=idle_sessions(3), entries=[flying])
    assert earlier.next_step is earlier.steps[0]


@pytest.mark.parametrize(
    ("replicas", "objection"),
    [
        ((), Objection.NOT_FOUND),
        (TROUBLE, Objection.UNREADABLE),
    ],
)
def test_a_service_that_is_not_there_or_cannot_be_read_is_skipped(
    replicas: tuple[Replica, ...] | Trouble, objection: Objection
) -> None:
    """Nothing is restarted blindly."""
    plan = plan_for(incident=make_incident(step=1), services={**SERVICES, "celery": replicas})
    assert plan.steps[0].objections == (objection,)
    assert plan.next_step is plan.steps[1]


def test_a_service_that_is_not_there_is_named_as_it_was_looked_for() -> None:
    """A person can see at once which name is wrong."""
    step = RestartService("celery", known_by="Compose project shop, service celery")
    (planned,) = plan_for(policy=make_policy(steps=(step,)), services={}).steps
    assert (planned.objections, planned.detail) == ((Objection.NOT_FOUND,), step.known_by)


def test_replicas_that_are_exempt_or_not_running_are_left_and_the_others_are_not() -> None:
    """Each is held for its own reason; a one-off container that has ended is no replica that is missing."""
    replicas = (
        make_replica(number=1, exempt=Exempt.OWN),
        make_replica(number=2),
        make_replica(number=3, exempt=Exempt.ONE_OFF, state=ReplicaState.EXITED),
    )
    step = plan_for(incident=make_incident(step=1), services={**SERVICES, "celery": replicas}).steps[0]
    assert names(step) == ["shop-celery-2"]
    assert {hold.objections for hold in step.holds} == {(Objection.EXEMPT,)}
    assert {hold.detail for hold in step.holds} == {"our own container", "a one-off container"}


@pytest.mark.parametrize(
    "state", [state for state in ReplicaState if state is not ReplicaState.RUNNING], ids=lambda s: s.value
)
def test_a_replica_is_left_up_while_another_one_of_its_service_is_down(state: ReplicaState) -> None:
    """A restart must not take away the last one that works."""
    replicas = (make_replica(number=1), make_replica(number=2, state=state))
    step = plan_for(incident=make_incident(step=1), services={**SERVICES, "celery": replicas}).steps[0]
    assert not step.acts
    held = {h.action.label: (h.objections, h.detail) for h in step.holds}
    assert held["restart shop-celery-1"] == ((Objection.SIBLING_DOWN,), "shop-celery-2")
    assert held["restart shop-celery-2"] == ((Objection.NOT_RUNNING,), f"it is {state.value}")


def test_replicas_that_are_not_well_are_restarted_before_those_that_are() -> None:
    """With the full database every check may fail; nothing is lost by what does not work anyway."""
    sick = [make_replica(number=number, health=Health.UNHEALTHY) for number in (2, 3)]
    well = make_replica(number=1, health=Health.HEALTHY)
    services = {**SERVICES, "celery": (well, *sick)}
    step = plan_for(incident=make_incident(step=1), services=services).steps[0]
    assert names(step) == ["shop-celery-2", "shop-celery-3", "shop-celery-1"]
    # the first came up, the second did not get well by it: the one that works is left alone
    services = {**SERVICES, "celery": (well, replace(sick[0], health=Health.HEALTHY), sick[1])}
    entries = [restarted(2), restarted(3)]
    step = plan_for(incident=make_incident(step=1), services=services, entries=entries).steps[0]
    assert not step.acts
    assert (Objection.SIBLING_DOWN,) in why(step)


@pytest.mark.parametrize(
    ("cap", "replicas", "acts"),
    [
        ((0.75, 10), 1, 1),
        ((0.75, 10), 2, 2),
        ((0.75, 10), 3, 3),
        ((0.75, 10), 4, 3),
        ((0.75, 10), 20, 10),
        ((0.5,), 3, 2),
        ((2,), 5, 2),
        ((1.0,), 12, 12),
    ],
)
def test_a_step_restarts_a_share_of_a_services_replicas(
    cap: tuple[float, ...], replicas: int, acts: int
) -> None:
    """The others are left as they are, also when some have had their turn."""
    policy = make_policy(restart_per_step=cap)
    all_of_them = tuple(make_replica(number=number) for number in range(1, replicas + 1))
    services = {**SERVICES, "celery": all_of_them}
    step = plan_for(policy=policy, incident=make_incident(step=1), services=services).steps[0]
    assert len(step.acts) == acts
    assert why(step) == [(Objection.STEP_LIMIT,)] * (replicas - acts)
    first = restarted(1)
    step = plan_for(policy=policy, incident=make_incident(step=1), services=services, entries=[first]).steps[
        0
    ]
    assert len(step.acts) == acts - 1


def test_replicas_that_had_no_turn_last_time_come_first() -> None:
    """Or the share of a step would always be the same ones."""
    replicas = tuple(make_replica(number=number) for number in range(1, 5))
    long_ago = START - timedelta(hours=9)
    entries = [restarted(n, incident="i0", at=long_ago + timedelta(minutes=n)) for n in (1, 2, 3)]
    services = {**SERVICES, "celery": replicas}
    step = plan_for(incident=make_incident(step=1), services=services, entries=entries).steps[0]
    assert names(step) == ["shop-celery-4", "shop-celery-1", "shop-celery-2"]


@pytest.mark.parametrize(
    ("until", "abort_above", "idle", "detail"),
    [
        (0.5, (0.8, 2000), 96, ""),  # all that the server has leaked: the leak is brought down to half
        (0.1, (0.8, 2000), 96, "86 of 96 would have to go, more than 80% or 2000"),
        (0.1, (0.8, 2000), 76, ""),  # no more than that may go
        (0.1, (0.8, 2000), 77, "77 of 96 would have to go, more than 80% or 2000"),
        (0.1, (), 96, ""),
        (0.1, (1.0,), 96, ""),
        (0.5, (45,), 96, "46 of 96 would have to go, more than 45"),
        (0.5, (46,), 96, ""),
    ],
)
def test_a_step_that_wants_nearly_everything_is_taken_for_a_mistake(
    until: float, abort_above: tuple[float, ...], idle: int, detail: str
) -> None:
    """Not even what the limits would leave of it is done, nor anything harsher; a person is told."""
    policy = make_policy(until=until, abort_above=abort_above)
    plan = plan_for(policy=policy, sample=make_sample(used=96), sessions=idle_sessions(idle))
    if not detail:
        assert plan.next_step is plan.steps[0]
        return
    assert plan.next_step is None
    assert plan.held
    assert plan.objections == (Objection.BLAST_RADIUS,)
    assert plan.detail == f"terminate sessions idle for 10m or longer: {detail}"
    assert plan.steps[0].objections == (Objection.BLAST_RADIUS,)
    assert not plan.steps[0].acts
    assert why(plan.steps[0]) == [(Objection.BLAST_RADIUS,)] * idle


def test_a_reading_that_makes_no_sense_selects_nobody() -> None:
    """A server that suddenly says that it has three slots would have nearly all sessions go."""
    plan = plan_for(sample=make_sample(used=96, usable=3), sessions=idle_sessions(96))
    assert plan.objections == (Objection.BLAST_RADIUS,)


def test_a_later_step_that_wants_too_much_does_not_stop_an_earlier_one() -> None:
    """Its turn may never come."""
    policy = make_policy(
        steps=(TerminateIdle(timedelta(seconds=9950)), TerminateIdle(TEN_MINUTES)), until=0.1
    )
    plan = plan_for(policy=policy, sessions=idle_sessions(96))
    assert plan.next_step is plan.steps[0]
    assert plan.steps[1].objections == (Objection.BLAST_RADIUS,)


@pytest.mark.parametrize(
    ("plan", "objection"),
    [
        (plan_for(pause=Pause(START, None, "deploy"), sessions=idle_sessions(3)), Objection.PAUSED),
        (
            plan_for(pause=Pause(START, START + timedelta(seconds=1)), sessions=idle_sessions(3)),
            Objection.PAUSED,
        ),
        (
            plan_for(locks=[Lock("database:shop", START, "3 rounds")], sessions=idle_sessions(3)),
            Objection.LOCKED,
        ),
        (
            plan_for(sample=make_sample(used=10, probe=None), sessions=idle_sessions(3)),
            Objection.UNKNOWN_EVIDENCE,
        ),
        (
            plan_for(sample=make_sample(used=None, probe=None), sessions=idle_sessions(3)),
            Objection.UNKNOWN_EVIDENCE,
        ),
        (
            plan_for(sample=make_sample(server=make_server(in_recovery=True)), sessions=idle_sessions(3)),
            Objection.STANDBY,
        ),
        (plan_for(entries=[make_entry()], sessions=idle_sessions(3)), Objection.IN_FLIGHT),
        (plan_for(entries=[make_entry(incident="i0")], sessions=idle_sessions(3)), Objection.IN_FLIGHT),
        (
            plan_for(incident=make_incident(not_before=moment(1).at), sessions=idle_sessions(3)),
            Objection.SETTLING,
        ),
        (
            plan_for(
                incident=make_incident(not_before=moment(1).at, phase=Phase.HELD), sessions=idle_sessions(3)
            ),
            Objection.WAITING,
        ),
    ],
)
def test_what_stops_everything(plan: Plan, objection: Objection) -> None:
    """The steps are shown all the same, and nothing is concluded from there being nothing to do."""
    assert plan.objections == (objection,)
    assert plan.next_step is None
    assert (plan.relieved, plan.exhausted) == (False, False)
    assert len(plan.steps) == 3


def test_nothing_is_restarted_for_a_database_that_is_not_known() -> None:
    """Down is not full: every replica and session says so itself, wherever the plan is shown."""
    plan = plan_for(sample=make_sample(used=None, probe=None), sessions=idle_sessions(3))
    assert [step.acts for step in plan.steps] == [(), (), ()]
    assert [why(step) for step in plan.steps[1:]] == [
        [(Objection.UNKNOWN_EVIDENCE,)] * 2,
        [(Objection.UNKNOWN_EVIDENCE,)],
    ]
    assert not any(step.conditional for step in plan.steps)


def test_a_refusal_for_want_of_slots_keeps_its_restarts() -> None:
    """It is known evidence: the server is full, whether it lets us in or not."""
    full = Trouble(TroubleKind.FULL, "sorry, too many clients already")
    plan = plan_for(sample=replace(make_sample(used=None, probe=REFUSED), trouble=full), sessions=full)
    assert not plan.objections
    assert [names(step) for step in plan.steps] == [[], ["shop-celery-1", "shop-celery-2"], ["shop-api-1"]]


def test_each_objection_has_its_own_detail() -> None:
    """The end of a pause is not that of an action in flight."""
    pause = Pause(START, None, "me")
    plan = plan_for(pause=pause, entries=[make_entry()], sessions=idle_sessions(3))
    assert plan.reasons == ((Objection.PAUSED, "until `resume`: me"), (Objection.IN_FLIGHT, ""))
    assert plan.because == "paused by an operator (until `resume`: me), an earlier action is not verified yet"


def test_all_that_stops_it_is_told() -> None:
    """Lifting a pause must not come as a surprise."""
    plan = plan_for(
        pause=Pause(START, None, "deploy"),
        locks=[Lock("database:shop", START, "3 rounds")],
        entries=[make_entry()],
    )
    assert plan.objections == (Objection.PAUSED, Objection.LOCKED, Objection.IN_FLIGHT)
    assert plan.detail == "until `resume`: deploy; 3 rounds"


@pytest.mark.parametrize(
    "plan",
    [
        plan_for(pause=Pause(START - timedelta(hours=2), START), sessions=idle_sessions(3)),
        plan_for(locks=[Lock("database:blog", START, "3 rounds")], sessions=idle_sessions(3)),
        plan_for(locks=[Lock("service:shop", START, "it exited")], sessions=idle_sessions(3)),
        plan_for(entries=[make_entry(database="blog")], sessions=idle_sessions(3)),
        plan_for(incident=make_incident(not_before=START), sessions=idle_sessions(3)),
        plan_for(sample=make_sample(probe=None), sessions=idle_sessions(3)),
    ],
)
def test_what_does_not_stop_it(plan: Plan) -> None:
    """A pause or wait that is over, and what concerns others."""
    assert plan.objections == ()
    assert plan.next_step is plan.steps[0]


def test_a_step_waits_for_a_service_that_was_started_moments_ago() -> None:
    """Restarting it would fight a deploy, and the service after it is not to blame."""
    young = make_replica(started_at=START - timedelta(seconds=5))
    api = make_replica(service="api")
    plan = plan_for(services={"celery": (young,), "api": (api,)})
    assert plan.objections == (Objection.JUST_STARTED,)
    assert plan.detail == "restart celery: up for 5s, less than 1m"
    assert plan.next_step is None
    assert not plan.held
    [hold] = plan.steps[1].holds
    assert hold.objections == (Objection.JUST_STARTED,)


def test_terminating_does_not_wait_for_a_service() -> None:
    """It comes first on the ladder, and harms no deploy."""
    young = make_replica(started_at=START)
    plan = plan_for(sessions=idle_sessions(60), services={"celery": (young,), "api": ()})
    assert plan.next_step is not None
    assert plan.next_step.index == 0


def test_what_crashes_and_starts_by_itself_is_not_waited_for() -> None:
    """It is always young; the ladder goes on without it."""
    crashing = make_replica(started_at=START, restarts=7)
    plan = plan_for(services={"celery": (crashing,), "api": (make_replica(service="api"),)})
    assert plan.next_step is not None
    assert names(plan.next_step) == ["shop-api-1"]


def test_a_rolling_restart_goes_on_though_the_first_replica_is_young_now() -> None:
    """It is so because of us; the others are as old as they were."""
    first = make_replica(number=1, started_at=START - timedelta(seconds=15))
    second = make_replica(number=2, started_at=START - timedelta(hours=3))
    done = make_entry(action=RestartReplica(first), step=1, result=Result.CONFIRMED)
    plan = plan_for(
        incident=make_incident(step=1), entries=[done], services={"celery": (first, second), "api": ()}
    )
    assert plan.next_step is not None
    assert names(plan.next_step) == ["shop-celery-2"]


def test_it_is_relieved_when_no_longer_critical() -> None:
    """Every step says that it is not needed."""
    plan = plan_for(sample=make_sample(used=85), sessions=idle_sessions(40))
    assert (plan.relieved, plan.exhausted, plan.next_step) == (True, False, None)
    assert [step.objections for step in plan.steps] == [(Objection.NOT_NEEDED,)] * 3


def test_at_until_nothing_more_is_done_even_within_the_margin() -> None:
    """88 % is what was asked for; 85 % would have to be waited for, not forced by a restart."""
    plan = plan_for(policy=make_policy(until=0.88), sample=make_sample(used=88), sessions=idle_sessions(40))
    assert plan.relieved


def test_a_step_that_always_has_its_turn_is_taken_after_relief() -> None:
    """And is not conditional."""
    steps = (TerminateIdle(TEN_MINUTES), RestartService("celery", When.ALWAYS), RestartService("api"))
    policy = make_policy(steps=steps)
    critical = plan_for(policy=policy, sessions=idle_sessions(3))
    assert [step.conditional for step in critical.steps] == [False, False, True]
    clear = plan_for(policy=policy, sample=make_sample(used=40), incident=make_incident(step=1))
    assert clear.next_step is clear.steps[0]
    assert not clear.relieved
    after = plan_for(policy=policy, sample=make_sample(used=40), incident=make_incident(step=2))
    assert after.relieved


def test_it_is_exhausted_when_every_step_had_its_turn_or_has_nothing_to_do() -> None:
    """And the database is critical still."""
    assert plan_for(incident=make_incident(step=3)).exhausted
    nothing = plan_for(services={})
    assert nothing.exhausted
    assert [step.objections for step in nothing.steps] == [
        (Objection.NO_CANDIDATES,),
        (Objection.NOT_FOUND,),
        (Objection.NOT_FOUND,),
    ]


def test_critical_again_after_relief_goes_on_with_the_next_step() -> None:
    """What brought relief did not cure."""
    relieved = make_incident(phase=Phase.RELIEVED, step=1, relieved_at=START)
    plan = plan_for(incident=relieved, sessions=idle_sessions(3))
    assert (plan.relapsed, plan.renews) == (True, False)
    assert [step.index for step in plan.steps] == [1, 2]
    assert plan.next_step is plan.steps[0]
    still = plan_for(incident=relieved, sample=make_sample(used=60))
    assert (still.relapsed, still.renews, still.relieved) == (False, False, True)


@pytest.mark.parametrize(("step", "services"), [(3, SERVICES), (1, {})])
def test_critical_again_with_nothing_left_on_the_ladder_is_a_new_round(
    step: int, services: Mapping[str, tuple[Replica, ...] | Trouble]
) -> None:
    """From the first step, whether the others had their turn or have nothing to do."""
    relieved = make_incident(phase=Phase.RELIEVED, step=step, relieved_at=START)
    plan = plan_for(incident=relieved, sessions=idle_sessions(3), services=services)
    assert (plan.relapsed, plan.renews) == (True, True)
    assert plan.next_step is plan.steps[0]
    assert [step.index for step in plan.steps] == [0, 1, 2]


def test_a_look_ahead_plans_as_if_it_were_critical() -> None:
    """With the figures as they are."""
    sessions = idle_sessions(40)
    plan = plan_for(sample=make_sample(used=60), sessions=sessions, assume_critical=True)
    assert len(plan.steps[0].acts) == 10
    assert [step.conditional for step in plan.steps] == [False, True, True]


def simulated(sessions: Sequence[Session]) -> list[Entry]:
    """The entries of a dry run that has terminated these sessions."""
    return [
        make_entry(id=i, action=TerminateSession(session), result=Result.SIMULATED)
        for i, session in enumerate(sessions)
    ]


def test_sessions_that_a_dry_run_has_terminated_count_as_gone() -> None:
    """The rest of the plan is what it would be without them."""
    sessions = idle_sessions(46)
    plan = plan_for(
        sample=make_sample(used=96, probe=REFUSED),
        incident=make_incident(step=1),
        entries=simulated(sessions),
        sessions=sessions,
    )
    assert plan.relieved


def test_a_dry_run_that_has_not_terminated_enough_goes_on_as_enforcing_would() -> None:
    """92 of 100 are left."""
    sessions = idle_sessions(46)
    plan = plan_for(entries=simulated(sessions[:4]), sessions=sessions)
    assert pids(plan.steps[0]) == list(range(104, 146))
    assert why(plan.steps[0]) == [(Objection.SIMULATED,)] * 4


def test_sessions_that_are_really_gone_since_are_not_taken_off_twice() -> None:
    """They are no longer counted by the server."""
    sessions = idle_sessions(46)
    plan = plan_for(sample=make_sample(used=95), entries=simulated(sessions), sessions=sessions[40:])
    assert not plan.relieved
    assert plan_for(sample=make_sample(used=92), entries=simulated(sessions), sessions=sessions[39:]).relieved


@pytest.mark.parametrize(("gone", "relieved"), [(3, False), (4, True)])
def test_a_dry_run_expects_connections_to_be_accepted_once_a_slot_is_free(gone: int, relieved: bool) -> None:
    """103 of 100 usable slots used means that reserved ones are, too."""
    sessions = idle_sessions(gone)
    levels = {Level.CRITICAL: LevelRule(Conditions(refusing_connections=True))}
    plan = plan_for(
        policy=make_policy(levels=levels),
        sample=make_sample(used=103, probe=REFUSED),
        incident=make_incident(step=1),
        entries=simulated(sessions),
        sessions=sessions,
    )
    assert plan.relieved is relieved


def test_a_dry_run_takes_what_it_terminated_out_of_the_idle_counts_too() -> None:
    """Or it would go on to restart services where enforcing would stop."""
    levels = {Level.CRITICAL: LevelRule(Conditions(0.9, IdleCount(TEN_MINUTES, 20)))}
    sessions = idle_sessions(46)
    long = sum(1 for session in sessions if session.idle_for >= 3600)
    groups = [
        make_group(count=46 - long),
        make_group(count=long, idle_for_at_least=3600),
        make_group(count=50, state="active", idle_for_at_least=0),
    ]
    plan = plan_for(
        policy=make_policy(levels=levels),
        sample=make_sample(used=96, groups=groups),
        incident=make_incident(step=1),
        entries=simulated(sessions),
        sessions=sessions,
    )
    assert plan.relieved


@pytest.mark.parametrize("first", [True, False])
def test_simulated_terminations_count_among_the_sessions_never_used(first: bool) -> None:
    """Not among those that are like them in all but that."""
    levels = {Level.CRITICAL: LevelRule(Conditions(never_used=IdleCount(TEN_MINUTES, 5)))}
    used, unused = (
        replace(make_group(idle_for_at_least=600.0, count=6), unused=one) for one in (False, True)
    )
    sessions = [replace(session, unused=True) for session in idle_sessions(6, oldest=900.0)]
    plan = plan_for(
        policy=make_policy(levels=levels),
        sample=make_sample(used=20, groups=(unused, used) if first else (used, unused)),
        entries=simulated(sessions[:2]),
        sessions=tuple(sessions),
    )
    assert plan.relieved


def test_a_simulated_restart_counts_like_a_real_one() -> None:
    """So that a dry run shows what the limits would have done."""
    for incident, step in (("i1", 1), ("i0", 1)):
        real, dry = (
            plan_for(
                incident=make_incident(step=1), entries=[restarted(1, result=r, incident=incident, step=step)]
            )
            for r in (Result.CONFIRMED, Result.SIMULATED)
        )
        assert real == dry


def test_every_act_says_why_and_every_hold_too() -> None:
    """Nothing is left unexplained."""
    sessions = (*idle_sessions(60), make_session(pid=1, listening=True))
    for step in plan_for(sessions=sessions).steps:
        for proposal in step.proposals:
            match proposal:
                case Act(_, because):
                    assert because
                case Hold(_, objections, _):
                    assert objections
    act = plan_for(sessions=sessions).steps[0].acts[0]
    assert act.because == "idle for 2h 46m, longer than 10m"
    assert act.action.label == "terminate session 100 (celery)"


def test_a_server_that_is_cut_off_after_its_sample_gets_nothing_restarted() -> None:
    """It could be read a moment ago: whether it is critical still, and which server it is, is not known."""
    plan = plan_for(sessions=TROUBLE)
    assert plan.next_step is None
    assert plan.objections == (Objection.UNREADABLE,)
    assert plan.detail == TROUBLE.detail
    assert plan_for(sample=make_sample(used=None, probe=REFUSED), sessions=TROUBLE).next_step is not None


def test_sessions_do_not_go_for_the_slots_that_logins_hold() -> None:
    """Where the view shows clients in authentication, ending sessions makes room for more of those."""
    sample = make_sample(probe=REFUSED, groups=[make_group(count=60, state="starting")])
    plan = plan_for(sample=sample, sessions=idle_sessions(30))
    assert plan.next_step is None
    assert {hold.objections for hold in plan.steps[0].holds} == {(Objection.ENOUGH,)}
    both = make_sample(probe=REFUSED, groups=[make_group(count=30, state="starting")])
    assert len(plan_for(sample=both, sessions=idle_sessions(30)).steps[0].acts) == 66 - 50


def test_slots_that_logins_hold_make_no_step_suspicious() -> None:
    """How much a step wants is what it would take, not what is missing to the target."""
    sample = make_sample(probe=REFUSED, groups=[make_group(count=30, state="starting")])
    policy = make_policy(abort_above=(0.2,))
    assert len(plan_for(policy=policy, sample=sample, sessions=idle_sessions(30)).steps[0].acts) == 66 - 50


def test_services_are_spared_when_only_logins_hold_the_slots() -> None:
    """Each replica is held, with the reason; a person is needed."""
    plan = plan_for(sample=make_sample(used=10, probe=REFUSED), sessions=idle_sessions(5))
    assert plan.next_step is None
    assert plan.held
    assert [step.objections for step in plan.steps] == [(), (Objection.LOGINS,), (Objection.LOGINS,)]
    assert {hold.objections for hold in plan.steps[0].holds} == {(Objection.ENOUGH,)}
    assert {hold.objections for hold in plan.steps[1].holds} == {(Objection.LOGINS,)}
    assert len(plan.steps[1].holds) == 2
