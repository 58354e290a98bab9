"""How an incident moves through the ladder and its rounds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core import incident as incidents
from remediator.core.ledger import Ledger, Phase, Result
from remediator.core.plan import Act, RestartReplica, StepPlan, TerminateSession
from remediator.core.policy import RestartService, Step, TerminateIdle, When
from tests.builders import (
    REFUSED,
    START,
    TEN_MINUTES,
    make_entry,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_session,
    moment,
)

LADDER = make_policy().remediate
RESTART = RestartReplica(make_replica())
NOW = moment(100).at


def terminations(*pids: int, index: int = 0) -> StepPlan:
    """A step that terminates these sessions."""
    acts = tuple(Act(TerminateSession(make_session(pid=pid)), "old") for pid in pids)
    return StepPlan(index, TerminateIdle(TEN_MINUTES), acts)


def restarts(*numbers: int, index: int = 1) -> StepPlan:
    """A step that restarts these replicas."""
    acts = tuple(Act(RestartReplica(make_replica(number=number)), "step 2") for number in numbers)
    return StepPlan(index, RestartService("celery"), acts)


def test_it_opens_with_the_figures_that_confirmed_it() -> None:
    """They are what the record of it begins with."""
    opened = incidents.open_incident("i7", "shop", make_sample(used=97, at=moment(5)), "97 of 100")
    assert (opened.id, opened.database, opened.because) == ("i7", "shop", "97 of 100")
    assert (opened.opened_at, opened.used, opened.usable) == (moment(5).at, 97, 100)
    assert (opened.phase, opened.round, opened.step, opened.not_before) == (Phase.WORKING, 1, 0, None)
    blind = incidents.open_incident("i8", "shop", make_sample(used=None, probe=REFUSED), "refused")
    assert (blind.used, blind.usable) == (None, None)


def test_terminations_are_due_together_and_restarts_one_at_a_time() -> None:
    """The next replica only when the last is up."""
    assert len(incidents.due(terminations(1, 2, 3))) == 3
    assert [a.action for a in incidents.due(restarts(1, 2, 3))] == [RestartReplica(make_replica(number=1))]
    assert incidents.due(StepPlan(0, TerminateIdle(TEN_MINUTES))) == ()


@pytest.mark.parametrize(
    ("step", "to"),
    [(terminations(1, 2), 1), (restarts(1, 2), 1), (restarts(2), 2), (restarts(1, index=5), 6)],
)
def test_it_stays_on_a_step_while_acts_are_left_in_it(step: StepPlan, to: int) -> None:
    """And moves on with the last ones."""
    held = make_incident(phase=Phase.HELD, not_before=NOW)
    climbed = incidents.climb(held, step)
    assert (climbed.step, climbed.phase, climbed.not_before, climbed.round) == (to, Phase.WORKING, None, 1)


@pytest.mark.parametrize(
    ("step", "result", "waits"),
    [
        # the step is complete
        (0, Result.CONFIRMED, True),
        (0, Result.SIMULATED, True),
        (0, Result.UNCONFIRMED, True),
        (0, Result.CHANGED, False),
        (0, Result.DROPPED, False),
        (0, Result.DENIED, False),
        # replicas are left in it
        (1, Result.CONFIRMED, False),
        (1, Result.SIMULATED, False),
        (1, Result.CHANGED, False),
        # but it goes no further
        (1, Result.REFUTED, True),
        (1, Result.UNCONFIRMED, True),
        (1, Result.UNKNOWN, True),
    ],
)
def test_what_was_done_settles_once_the_step_is_over(step: int, result: Result, waits: bool) -> None:
    """Where nothing was done there is nothing to wait for."""
    incident = make_incident(step=1)
    settled = incidents.settle(incident, [make_entry(step=step, action=RESTART, result=result)], LADDER, NOW)
    assert settled.not_before == (NOW + LADDER.settle if waits else None)
    assert settled.step == (step if result is Result.DROPPED else incident.step)


def test_what_was_not_done_in_an_earlier_round_moves_nothing() -> None:
    """The ladder has begun anew since then."""
    incident = make_incident(step=0, round=2)
    entry = make_entry(step=1, round=1, action=RESTART, result=Result.DROPPED)
    assert incidents.settle(incident, [entry], LADDER, NOW) == incident


def test_one_effective_outcome_among_others_is_enough_to_settle() -> None:
    """The one session that was terminated may be the one that helps."""
    concluded = [make_entry(id=1, result=Result.CHANGED), make_entry(id=2, result=Result.CONFIRMED)]
    assert incidents.settle(make_incident(step=1), concluded, LADDER, NOW).not_before is not None
    assert incidents.settle(make_incident(step=1), [], LADDER, NOW).not_before is None


def test_a_wait_never_lasts_longer_than_it_was_meant_to() -> None:
    """The clock may have been set back since."""
    tomorrow = NOW + timedelta(days=1)
    working, held = make_incident(not_before=tomorrow), make_incident(not_before=tomorrow, phase=Phase.HELD)
    assert incidents.bounded(working, LADDER, NOW).not_before == NOW + LADDER.settle
    assert incidents.bounded(held, LADDER, NOW).not_before == NOW + LADDER.retry
    for waiting in (None, NOW - timedelta(days=1), NOW + LADDER.settle):
        as_meant = make_incident(not_before=waiting)
        assert incidents.bounded(as_meant, LADDER, NOW) == as_meant


def test_relief_keeps_its_first_time() -> None:
    """How long it took is counted once."""
    relieved = incidents.relieve(make_incident(step=1, not_before=NOW), NOW)
    assert (relieved.phase, relieved.relieved_at, relieved.not_before) == (Phase.RELIEVED, NOW, None)
    assert incidents.relieve(relieved, NOW + timedelta(hours=1)) == relieved


@pytest.mark.parametrize(("new_round", "place"), [(False, (4, 2)), (True, (5, 0))])
def test_relief_that_did_not_last(new_round: bool, place: tuple[int, int]) -> None:
    """The ladder goes on with the next step, or from the first one in a new round."""
    relieved = make_incident(phase=Phase.RELIEVED, step=2, round=4, relieved_at=NOW)
    again = incidents.relapse(relieved, new_round=new_round)
    assert (again.phase, again.round, again.step, again.relieved_at) == (Phase.WORKING, *place, None)


@pytest.mark.parametrize(
    ("results", "failed"),
    [
        ((Result.CONFIRMED,), 1),
        ((Result.CONFIRMED, Result.CONFIRMED), 1),
        ((Result.UNCONFIRMED,), 1),
        ((Result.REFUTED,), 1),
        ((Result.UNKNOWN,), 1),
        ((Result.CHANGED, Result.CONFIRMED), 1),
        ((Result.SIMULATED,), 0),
        ((Result.SIMULATED, Result.CHANGED, Result.DENIED), 0),
        ((Result.CHANGED, Result.DENIED), 0),
        ((Result.DENIED,), 0),
    ],
)
def test_a_round_that_did_something_to_no_avail_failed(results: tuple[Result, ...], failed: int) -> None:
    """Every round is followed by a wait; only one that touched the world counts as failed."""
    entries = tuple(make_entry(id=i, round=3, result=result) for i, result in enumerate(results))
    incident = make_incident(round=3, step=3, failed_rounds=1)
    held = incidents.exhaust(incident, Ledger(entries), LADDER, NOW)
    assert (held.phase, held.round, held.step) == (Phase.HELD, 4, 0)
    assert held.not_before == NOW + LADDER.retry
    assert held.failed_rounds == 1 + failed


def test_a_round_without_anything_to_do_is_begun_again_at_once() -> None:
    """Entries of other rounds and incidents are no part of it."""
    entries = (
        make_entry(id=1, round=2, result=Result.CONFIRMED),
        make_entry(id=2, round=3, incident="another", result=Result.CONFIRMED),
    )
    held = incidents.exhaust(make_incident(round=3, step=2), Ledger(entries), LADDER, NOW)
    assert (held.phase, held.round, held.step, held.not_before) == (Phase.HELD, 3, 0, None)
    assert held.failed_rounds == 0


def test_a_round_in_which_everything_had_changed_is_begun_again_once_it_has_settled() -> None:
    """Nothing was done, and by then others may be old enough."""
    entries = (
        make_entry(id=1, round=3, result=Result.CHANGED),
        make_entry(id=2, round=3, result=Result.CHANGED),
    )
    held = incidents.exhaust(make_incident(round=3, step=2), Ledger(entries), LADDER, NOW)
    assert (held.phase, held.round, held.step, held.not_before) == (Phase.HELD, 4, 0, NOW + LADDER.settle)
    assert held.failed_rounds == 0


def test_three_failed_rounds_are_counted() -> None:
    """Over any number of reliefs between them."""
    incident = make_incident()
    for number in (1, 2, 3):
        entry = make_entry(id=number, round=incident.round, result=Result.CONFIRMED)
        incident = incidents.exhaust(incident, Ledger((entry,)), LADDER, NOW)
        assert incident.failed_rounds == number
        incident = incidents.relapse(incidents.relieve(incident, NOW), new_round=True)


def test_an_incident_keeps_its_place_as_long_as_the_ladder_is_the_same() -> None:
    """A record that does not say which ladder it was on is believed."""
    there = make_incident(round=2, step=1, ladder=LADDER.ladder)
    assert incidents.on_ladder(there, LADDER) is there
    adopted = incidents.on_ladder(make_incident(round=2, step=1), LADDER)
    assert adopted == there
    slower = make_policy(settle=timedelta(hours=1), retry=timedelta(hours=1), until=0.1).remediate
    assert incidents.on_ladder(there, slower) is there


@pytest.mark.parametrize(
    "steps",
    [
        (RestartService("celery"), TerminateIdle(TEN_MINUTES), RestartService("api")),
        (TerminateIdle(TEN_MINUTES),),
        (TerminateIdle(TEN_MINUTES * 2), RestartService("celery"), RestartService("api")),
        (TerminateIdle(TEN_MINUTES), RestartService("celery", When.ALWAYS), RestartService("api")),
        (),
    ],
)
def test_a_changed_ladder_is_climbed_from_its_foot_in_a_new_round(steps: tuple[Step, ...]) -> None:
    """What was done stays charged: its round is another one, not forgotten."""
    there = make_incident(
        round=2, step=1, phase=Phase.HELD, failed_rounds=2, not_before=NOW, ladder=LADDER.ladder
    )
    changed = make_policy(steps=steps).remediate
    moved = incidents.on_ladder(there, changed)
    assert (moved.round, moved.step, moved.ladder) == (3, 0, changed.ladder)
    assert (moved.phase, moved.failed_rounds, moved.not_before) == (Phase.HELD, 2, NOW)


def test_it_closes_once_critical_is_left() -> None:
    """Being left is relief too."""
    closed = incidents.close(make_incident(not_before=NOW), NOW)
    assert (closed.phase, closed.closed_at, closed.relieved_at) == (Phase.CLOSED, NOW, NOW)
    assert closed.not_before is None
    earlier = incidents.close(make_incident(relieved_at=START), NOW)
    assert earlier.relieved_at == START


def test_terminations_that_all_slipped_away_leave_the_step_its_turn() -> None:
    """Others may go in their stead before anything harsher is done; nothing was done that must settle."""
    entries = tuple(make_entry(id=i, round=1, step=0, result=Result.CHANGED) for i in (1, 2))
    again = incidents.settle(make_incident(step=1), entries, LADDER, NOW)
    assert (again.step, again.not_before) == (0, None)
    mixed = (*entries, make_entry(id=3, round=1, step=0, result=Result.CONFIRMED))
    assert incidents.settle(make_incident(step=1), mixed, LADDER, NOW).step == 1
