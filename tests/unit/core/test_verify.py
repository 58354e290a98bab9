"""Outcomes: what the world shows after an act, and when it has shown enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.core.ledger import Entry, Outcome, Result
from remediator.core.model import (
    Exempt,
    Health,
    Moment,
    Replica,
    ReplicaState,
)
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.service import Verification
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.verify import Sighting, verify_restart, verify_termination
from tests.builders import make_entry, make_replica, make_session, moment

SESSION = make_session()
TROUBLE = Trouble(TroubleKind.TIMEOUT, "no answer within 5s")
TERMINATION = make_entry(action=TerminateSession(SESSION))
BEFORE = make_replica(started="before", stop_timeout=timedelta(seconds=30))
RESTART = make_entry(action=RestartReplica(BEFORE))
VERIFICATION = Verification(within=timedelta(seconds=90), steady_for=timedelta(seconds=10))
DEADLINE = 30 + 90 + 10


@pytest.mark.parametrize(
    ("alive", "after", "result"),
    [
        (frozenset(), 0, Result.CONFIRMED),
        (frozenset(), 999, Result.CONFIRMED),
        (frozenset({SESSION.id}), 9.9, None),
        (frozenset({SESSION.id}), 10, Result.UNCONFIRMED),
        (TROUBLE, 9.9, None),
        (TROUBLE, 10, Result.UNKNOWN),
        (frozenset({make_session(pid=1).id}), 0, Result.CONFIRMED),
    ],
)
def test_a_termination_is_judged_by_whether_the_session_is_there(
    alive: frozenset[object] | Trouble, after: float, result: Result | None
) -> None:
    """Not by what the server answered to the request."""
    outcome = verify_termination(TERMINATION, alive, moment(after))  # type: ignore[arg-type]
    assert (outcome.result if outcome else None) is result


def test_a_reused_pid_is_another_session() -> None:
    """The one that was terminated is gone."""
    other = make_entry(action=TerminateSession(make_session(pid=SESSION.id.pid)))
    assert isinstance(other.intent.action, TerminateSession)
    later = frozenset({type(SESSION.id)(SESSION.id.pid, moment(5).at)})
    outcome = verify_termination(other, later, moment(1))
    assert outcome is not None
    assert outcome.result is Result.CONFIRMED


def look(
    replica: Replica | Trouble | None, at: Moment, sighting: Sighting | None = None, entry: Entry = RESTART
) -> tuple[Outcome | None, Sighting | None]:
    """One look at the service, which has another replica that does not matter."""
    if isinstance(replica, Trouble):
        return verify_restart(entry, replica, VERIFICATION, sighting, at)
    others = [make_replica(number=2, started="whenever", restarts=7, state=ReplicaState.EXITED)]
    replicas = [*others, replica] if replica else others
    return verify_restart(entry, replicas, VERIFICATION, sighting, at)


def again(
    *,
    state: ReplicaState = ReplicaState.RUNNING,
    health: Health = Health.NONE,
    restarts: int = 0,
    started: str = "after",
) -> Replica:
    """The replica after it was started again."""
    return make_replica(started=started, state=state, health=health, restarts=restarts)


SEEN = Sighting("after", moment(40).mono)


@pytest.mark.parametrize(
    ("replica", "sighting", "after", "result"),
    [
        # not started yet: its stop timeout is honoured
        (BEFORE, None, DEADLINE - 1, None),
        (BEFORE, None, DEADLINE, Result.UNCONFIRMED),
        (make_replica(started="before", state=ReplicaState.EXITED), None, DEADLINE - 1, None),
        (make_replica(started="before", state=ReplicaState.EXITED), None, DEADLINE, Result.REFUTED),
        (make_replica(started="before", state=ReplicaState.DEAD), None, DEADLINE, Result.REFUTED),
        # unreadable
        (TROUBLE, SEEN, DEADLINE - 1, None),
        (TROUBLE, SEEN, DEADLINE, Result.UNKNOWN),
        # replaced
        (None, None, 1, Result.UNKNOWN),
        # started: it must stay up
        (again(), None, 40, None),
        (again(), SEEN, 49.9, None),
        (again(), SEEN, 50, Result.CONFIRMED),
        (again(health=Health.HEALTHY), SEEN, 50, Result.CONFIRMED),
        (again(health=Health.STARTING), None, DEADLINE - 1, None),
        (again(health=Health.STARTING), None, DEADLINE, Result.REFUTED),
        (again(health=Health.UNHEALTHY), None, DEADLINE - 1, None),
        (again(health=Health.UNHEALTHY), None, DEADLINE, Result.REFUTED),
        (again(state=ReplicaState.PAUSED), None, DEADLINE, Result.REFUTED),
        # crash loops
        (again(restarts=1), None, 31, Result.REFUTED),
        (again(started="later still"), SEEN, 45, Result.REFUTED),
        (again(state=ReplicaState.EXITED), SEEN, 45, Result.REFUTED),
        (again(state=ReplicaState.EXITED), None, 45, None),
        (again(state=ReplicaState.EXITED), None, DEADLINE, Result.REFUTED),
        (again(state=ReplicaState.RESTARTING), SEEN, 45, None),
        (again(state=ReplicaState.RESTARTING), SEEN, DEADLINE, Result.REFUTED),
    ],
)
def test_a_restart_is_judged_by_start_state_and_health(
    replica: Replica | Trouble | None, sighting: Sighting | None, after: float, result: Result | None
) -> None:
    """Not by what the engine answered to the request."""
    outcome, _ = look(replica, moment(after), sighting)
    assert (outcome.result if outcome else None) is result
    if outcome is not None and result is not Result.CONFIRMED:
        assert outcome.detail


@pytest.mark.parametrize("first_look", [40, DEADLINE - 1, DEADLINE, DEADLINE + 86_400])
def test_a_replica_that_is_well_is_confirmed_however_late_the_first_look_is(first_look: float) -> None:
    """After a crash of remediator the sighting is lost and the deadline may be long over."""
    outcome, sighting = look(again(), moment(first_look))
    assert outcome is None
    assert sighting == Sighting("after", moment(first_look).mono)
    outcome, sighting = look(again(), moment(first_look + 9), sighting)
    assert outcome is None
    outcome, _ = look(again(), moment(first_look + 10), sighting)
    assert outcome is not None
    assert outcome.result is Result.CONFIRMED


@pytest.mark.parametrize(
    ("replica", "words"),
    [
        (again(state=ReplicaState.EXITED), "it started, but was exited when its time was up"),
        (
            again(health=Health.STARTING),
            "it started, but was running (health: starting) when its time was up",
        ),
    ],
)
def test_it_is_said_what_a_restarted_replica_was_when_its_time_was_up(replica: Replica, words: str) -> None:
    """Its health only where it has a health check."""
    outcome, _ = look(replica, moment(DEADLINE))
    assert outcome is not None
    assert outcome.detail == words


def test_a_late_look_at_a_replica_that_falls_over_in_its_steady_time_refutes() -> None:
    """Being late does not excuse it."""
    _, sighting = look(again(), moment(DEADLINE + 5))
    outcome, _ = look(again(health=Health.UNHEALTHY), moment(DEADLINE + 6), sighting)
    assert outcome is not None
    assert outcome.result is Result.REFUTED


def test_what_starts_while_nobody_can_look_is_watched_anew() -> None:
    """An engine that restarts takes its containers along; that is not a crash of theirs."""
    _, sighting = look(TROUBLE, moment(41), SEEN)
    outcome, sighting = look(again(started="with the engine"), moment(45), sighting)
    assert (outcome, sighting) == (None, Sighting("with the engine", moment(45).mono))
    outcome, _ = look(again(started="once more"), moment(46), sighting)
    assert outcome is not None
    assert outcome.result is Result.REFUTED


def test_what_a_deploy_replaces_is_not_blamed() -> None:
    """The deploy stops it, and removes it next."""
    outcome, _ = look(replace(again(state=ReplicaState.EXITED), exempt=Exempt.REPLACED), moment(45), SEEN)
    assert outcome is not None
    assert (outcome.result, outcome.detail) == (Result.UNKNOWN, "it is being replaced by a deploy")


@pytest.mark.parametrize("jumped", [-86_400, -3600, 86_400])
def test_a_clock_that_jumps_keeps_no_entry_open_for_long(jumped: float) -> None:
    """An open entry stops everything else for its database."""
    at = moment(1, jumped=jumped)
    gone = verify_termination(TERMINATION, frozenset(), at)
    there = verify_termination(TERMINATION, frozenset({SESSION.id}), at)
    outcome, _ = look(BEFORE, at)
    assert (gone and gone.result) is Result.CONFIRMED
    assert (there and there.result) is Result.UNCONFIRMED
    assert (outcome and outcome.result) is Result.UNCONFIRMED


def test_steady_time_is_not_bent_by_the_wall_clock() -> None:
    """A jump forward within it confirms nothing."""
    outcome, sighting = look(again(), moment(45, jumped=3600), SEEN)
    assert (outcome, sighting) == (None, SEEN)


def test_the_crash_count_is_in_words() -> None:
    """One time is singular."""
    texts = [look(again(restarts=n), moment(31))[0] for n in (1, 2)]
    assert [t.detail for t in texts if t] == [
        "it crashed and was started again 1 time",
        "it crashed and was started again 2 times",
    ]


def test_why_it_did_not_start_again_is_told_in_the_words_of_whoever_runs_it() -> None:
    """An exit alone does not tell a person what to mend."""
    down = replace(make_replica(started="before", state=ReplicaState.EXITED), error="no such file: /tool/run")
    outcome, _ = look(down, moment(DEADLINE), None)
    assert outcome is not None
    assert outcome.detail.endswith("no such file: /tool/run")
