"""Budgets, cooldowns and locks as the ledger's entries add up to them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core.ledger import Entry, Ledger, Lock, Occasion, Pause, Result, database_scope, service_scope
from remediator.core.plan import RestartReplica, TerminateSession
from tests.builders import make_entry, make_incident, make_replica, make_session, moment

NOW = moment(3600).at


def restart(
    *,
    id: int,  # noqa: A002  the attribute's name
    service: str = "celery",
    number: int = 1,
    seconds: float = 3000,
    result: Result | None = Result.CONFIRMED,
    incident: str = "i1",
    database: str = "shop",
    round: int = 1,  # noqa: A002  the attribute's name
    step: int = 1,
) -> Entry:
    """An entry of the restart of a replica."""
    return make_entry(
        id=id,
        action=RestartReplica(make_replica(service=service, number=number)),
        incident=incident,
        database=database,
        round=round,
        step=step,
        at=moment(seconds).at,
        result=result,
    )


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        (None, True),
        (Result.CONFIRMED, True),
        (Result.SIMULATED, True),
        (Result.UNCONFIRMED, True),
        (Result.REFUTED, True),
        (Result.UNKNOWN, True),
        (Result.CHANGED, False),
        (Result.DROPPED, False),
        (Result.DENIED, False),
    ],
)
def test_everything_counts_but_what_is_known_to_have_done_nothing(
    result: Result | None, counts: bool
) -> None:
    """An intent whose fate is not known was perhaps carried out."""
    at = moment(3000).at
    ledger = Ledger((make_entry(at=at, result=result), restart(id=2, result=result)))
    assert len(ledger.terminations("shop")) == int(counts)
    assert len(ledger.restarts_of("celery")) == int(counts)
    assert len(ledger.restarts("shop")) == int(counts)


def test_terminations_are_counted_for_their_database_only() -> None:
    """Each has a budget of its own; a restart is no termination."""
    entries = (make_entry(id=1, at=NOW), make_entry(id=2, at=NOW, database="blog"), restart(id=3))
    assert Ledger(entries).terminations("shop") == (NOW,)
    assert Ledger(entries).terminations("blog") == (NOW,)


def test_a_rolling_restart_counts_once_from_its_last_replica_on() -> None:
    """Another round, step or incident is another restart."""
    entries = (
        restart(id=1, number=1, seconds=1000),
        restart(id=2, number=2, seconds=1100),
        restart(id=3, number=1, seconds=2000, round=2),
    )
    ledger = Ledger(entries)
    assert ledger.restarts_of("celery") == (moment(1100).at, moment(2000).at)
    assert ledger.restarts("shop") == (moment(1100).at, moment(2000).at)
    assert ledger.restarts_of("api") == ()
    this = Occasion("celery", "i1", 2, 1)
    assert ledger.restarts_of("celery", apart_from=this) == (moment(1100).at,)
    assert ledger.restarts("shop", apart_from=this) == (moment(1100).at,)


def test_a_service_is_counted_across_databases_and_a_database_across_services() -> None:
    """A service does not care for whose sake it goes down."""
    entries = (
        restart(id=1, incident="i1", database="shop"),
        restart(id=2, incident="i2", database="blog"),
        restart(id=3, incident="i1", database="shop", service="api", step=2),
    )
    ledger = Ledger(entries)
    assert len(ledger.restarts_of("celery")) == 2
    assert len(ledger.restarts("shop")) == 2
    assert len(ledger.restarts("blog")) == 1


def test_replicas_that_had_their_turn_are_those_of_this_very_occasion() -> None:
    """Neither another service at the same step, after the policy changed, nor another round."""
    entries = (
        restart(id=1, number=1),
        restart(id=2, number=2, result=Result.CHANGED),
        restart(id=3, number=3, round=2),
        restart(id=4, number=4, service="api"),
        restart(id=5, number=5, step=2),
        restart(id=6, number=6, incident="i2"),
        make_entry(id=7, step=1),
    )
    turns = Ledger(entries).restarted_on(Occasion("celery", "i1", 1, 1))
    assert sorted(turns) == ["shop-celery-1", "shop-celery-2"]


def test_open_entries_belong_to_their_database_and_restarts_to_their_service() -> None:
    """Whoever made them."""
    flying = restart(id=2, result=None, database="blog")
    ledger = Ledger((make_entry(id=1, result=Result.CONFIRMED), flying))
    assert ledger.open_entries("shop") == ()
    assert ledger.open_entries("blog") == (flying,)
    assert ledger.restart_in_flight("celery")
    assert not ledger.restart_in_flight("api")
    assert not Ledger((make_entry(),)).restart_in_flight("celery")


def test_simulated_sessions_are_those_of_the_whole_incident() -> None:
    """They stay gone in a later round; those of another incident do not."""
    sessions = [make_session(pid=pid) for pid in range(4)]
    entries = (
        make_entry(id=1, action=TerminateSession(sessions[0]), result=Result.SIMULATED),
        make_entry(id=2, action=TerminateSession(sessions[1]), result=Result.SIMULATED, round=2),
        make_entry(id=3, action=TerminateSession(sessions[2]), result=Result.CONFIRMED),
        make_entry(id=4, action=TerminateSession(sessions[3]), result=Result.SIMULATED, incident="i0"),
        restart(id=5, result=Result.SIMULATED),
    )
    gone = Ledger(entries).simulated_sessions(make_incident(round=2))
    assert gone == {sessions[0].id, sessions[1].id}


def test_the_open_incident_is_the_databases_own() -> None:
    """A closed one is over."""
    closed = make_incident(id="i0", closed_at=NOW)
    other = make_incident(id="i1", database="blog")
    mine = make_incident(id="i2")
    ledger = Ledger(incidents=(closed, other, mine))
    assert ledger.open_incident("shop") is mine
    assert Ledger(incidents=(closed, other)).open_incident("shop") is None


def test_locks_are_found_by_scope() -> None:
    """A service called like a database is not that database."""
    lock = Lock(database_scope("api"), NOW, "three rounds")
    assert Ledger(locks=(lock,)).lock(database_scope("api")) is lock
    assert Ledger(locks=(lock,)).lock(service_scope("api")) is None


def test_a_pause_ends_at_its_time_or_not_by_itself() -> None:
    """At that time it is over."""
    assert Pause(NOW, NOW + timedelta(hours=1)).holds_at(NOW + timedelta(minutes=59))
    assert not Pause(NOW, NOW + timedelta(hours=1)).holds_at(NOW + timedelta(hours=1))
    assert Pause(NOW, None).holds_at(NOW + timedelta(days=9999))
