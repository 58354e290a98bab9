"""What spares sessions and replicas, one rule at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core.guards import spare_replica, spare_session
from remediator.core.model import Exempt, Health, Replica, ReplicaState, Session
from remediator.core.plan import Objection
from remediator.core.policy import Spare
from tests.builders import START, TEN_MINUTES, make_replica, make_session

SPARE = Spare(users=("migrator", "batch_*"), applications=("pg_dump", "barman*", "[abc]"))


@pytest.mark.parametrize(
    ("session", "objections"),
    [
        (make_session(), ()),
        (make_session(idle_for=600.0), ()),
        (make_session(idle_for=599.999), (Objection.TOO_YOUNG,)),
        (make_session(idle_for=0.0), (Objection.TOO_YOUNG,)),
        (make_session(backend_type="walsender"), (Objection.NOT_CLIENT,)),
        (make_session(backend_type="parallel worker"), (Objection.NOT_CLIENT,)),
        (make_session(backend_type=None), (Objection.NOT_CLIENT,)),
        (make_session(own=True), (Objection.OWN_SESSION,)),
        (make_session(superuser=True), (Objection.SUPERUSER,)),
        (make_session(state="active"), (Objection.ACTIVE,)),
        (make_session(state="idle in transaction"), (Objection.ACTIVE,)),
        (make_session(state="idle in transaction (aborted)"), (Objection.ACTIVE,)),
        (make_session(state="fastpath function call"), (Objection.ACTIVE,)),
        (make_session(state="disabled"), (Objection.ACTIVE,)),
        (make_session(state=None), (Objection.ACTIVE,)),
        (make_session(state_change=None), (Objection.ACTIVE,)),
        (make_session(in_transaction=True), (Objection.IN_TRANSACTION,)),
        (make_session(advisory_lock=True), (Objection.ADVISORY_LOCK,)),
        (make_session(listening=True), (Objection.LISTENING,)),
        (make_session(user="migrator"), (Objection.SPARED_USER,)),
        (make_session(user="batch_7"), (Objection.SPARED_USER,)),
        (make_session(user="Migrator"), ()),
        (make_session(user="migrator2"), ()),
        (make_session(user=None), ()),
        (make_session(application="pg_dump"), (Objection.SPARED_APPLICATION,)),
        (make_session(application="barman_streaming"), (Objection.SPARED_APPLICATION,)),
        (make_session(application="pg_dumpall"), ()),
        (make_session(application="b"), (Objection.SPARED_APPLICATION,)),
        (make_session(application=""), ()),
        (make_session(hidden=True), (Objection.HIDDEN,)),
        (make_session(hidden=True, state=None, superuser=True), (Objection.HIDDEN,)),
    ],
)
def test_each_rule_alone(session: Session, objections: tuple[Objection, ...]) -> None:
    """A session that nothing speaks against may go; one rule is enough to spare it."""
    assert spare_session(session, SPARE, TEN_MINUTES) == objections


def test_every_rule_that_holds_is_told() -> None:
    """Lifting one of them must not come as a surprise."""
    session = make_session(
        backend_type="walsender",
        superuser=True,
        in_transaction=True,
        idle_for=0.0,
        advisory_lock=True,
        listening=True,
        user="migrator",
        application="pg_dump",
    )
    assert set(spare_session(session, SPARE, TEN_MINUTES)) == {
        Objection.NOT_CLIENT,
        Objection.SUPERUSER,
        Objection.IN_TRANSACTION,
        Objection.TOO_YOUNG,
        Objection.ADVISORY_LOCK,
        Objection.LISTENING,
        Objection.SPARED_USER,
        Objection.SPARED_APPLICATION,
    }


def test_what_only_means_something_of_an_idle_session_is_not_told_of_others() -> None:
    """An active session is young, and may mention LISTEN, for reasons that are nobody's concern."""
    session = make_session(state="active", idle_for=0.0, listening=True)
    assert spare_session(session, SPARE, TEN_MINUTES) == (Objection.ACTIVE,)


def test_our_own_session_is_just_that() -> None:
    """Whatever it does at the moment it is looked at."""
    session = make_session(own=True, state="active", in_transaction=True, idle_for=0.0)
    assert spare_session(session, SPARE, TEN_MINUTES) == (Objection.OWN_SESSION,)


def test_the_age_is_that_of_the_step() -> None:
    """A milder step may ask for more."""
    session = make_session(idle_for=1800.0)
    assert spare_session(session, Spare(), timedelta(minutes=30)) == ()
    assert spare_session(session, Spare(), timedelta(minutes=31)) == (Objection.TOO_YOUNG,)


@pytest.mark.parametrize(
    ("replica", "objections", "detail"),
    [
        (make_replica(), (), ""),
        *(
            (make_replica(state=state), (Objection.NOT_RUNNING,), f"it is {state.value}")
            for state in ReplicaState
            if state is not ReplicaState.RUNNING
        ),
        *((make_replica(exempt=exempt), (Objection.EXEMPT,), exempt.value) for exempt in Exempt),
        (
            make_replica(exempt=Exempt.OWN, state=ReplicaState.EXITED),
            (Objection.EXEMPT,),
            Exempt.OWN.value,
        ),
    ],
)
def test_replicas_that_are_left_alone(
    replica: Replica, objections: tuple[Objection, ...], detail: str
) -> None:
    """What an operator or an engine has stopped stays so."""
    assert spare_replica(replica, timedelta(minutes=1), START) == (objections, detail)


@pytest.mark.parametrize(
    ("started_ago", "health", "young"),
    [
        (None, Health.NONE, False),
        (None, Health.STARTING, True),
        (timedelta(0), Health.NONE, True),
        (timedelta(seconds=59, milliseconds=999), Health.HEALTHY, True),
        (timedelta(minutes=1), Health.HEALTHY, False),
        (timedelta(hours=1), Health.STARTING, True),
        (timedelta(hours=1), Health.UNHEALTHY, False),
        (timedelta(seconds=-59), Health.NONE, True),
        (timedelta(hours=-2), Health.NONE, False),
    ],
)
def test_what_was_started_moments_ago_is_left_alone(
    started_ago: timedelta | None, health: Health, young: bool
) -> None:
    """Somebody is at it; a clock that is hours ahead of ours says nothing."""
    started_at = None if started_ago is None else START - started_ago
    replica = make_replica(started_at=started_at, health=health)
    objections, detail = spare_replica(replica, timedelta(minutes=1), START)
    assert objections == ((Objection.JUST_STARTED,) if young else ())
    assert bool(detail) is young
    assert spare_replica(replica, timedelta(0), START) == ((), "")


@pytest.mark.parametrize("objection", Objection)
def test_every_objection_is_in_words(objection: Objection) -> None:
    """People read words."""
    assert objection.meaning
