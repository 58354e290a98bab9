"""What the cycle does when another server answers: it looks, says so, and begins to confirm anew."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core.events import Event
from remediator.core.model import Session
from remediator.core.plan import Objection
from remediator.testing import FakeDatabase
from tests.builders import make_policy
from tests.unit.cycle_world import OLD, PACE, RESTART, TERMINATE, World

QUIET = (Event.CYCLE, Event.PLAN_MADE)


async def test_another_server_is_told_and_confirmed_anew() -> None:
    """It is as full as the one before: nothing is done before that has lasted on this very server."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill()
    await world.turn()
    world.database.fail_over()
    world.fill()
    turn = await world.turn(0)
    assert "timeline 2, was 1" in world.told.of(Event.SERVER_CHANGED)[0]["because"]
    assert turn.assessment.sample.replaced
    assert len(turn.assessment.sample.trend.readings) == 1, "what was before was another server's"
    assert not world.store.incidents
    await world.turn(PACE - 1)
    assert not world.store.incidents
    await world.told_of(Event.INCIDENT_RELIEVED, within=timedelta(minutes=1))
    assert len(world.told.of(Event.SERVER_CHANGED)) == 1


async def test_nothing_is_done_in_the_cycle_that_meets_another_server() -> None:
    """Not even where critical needs no time to be confirmed, or an incident is open."""
    policy = make_policy(steps=(TERMINATE, RESTART))
    world = World(policy)
    world.fill()
    world.meanwhile = world.leak
    await world.told_of(Event.STEP_SETTLING)
    world.meanwhile = lambda: None
    signals = len(world.database.signals)
    world.database.fail_over()
    world.fill(age=OLD)
    turn = await world.turn(0)
    assert turn.plan is not None
    assert Objection.SERVER_CHANGED in turn.plan.objections
    assert "timeline" in turn.plan.detail
    assert not turn.plan.held
    turn = await world.turn(1)
    assert turn.plan is not None
    assert Objection.SERVER_CHANGED not in turn.plan.objections
    assert Objection.UNCONFIRMED in turn.plan.objections
    assert len(world.database.signals) == signals
    # What was terminated on the server before brings no service of the new one nearer to its restart.
    await world.told_of(Event.INCIDENT_RELIEVED, within=timedelta(minutes=1))
    assert len(world.database.signals) > signals
    assert not world.restarted


async def test_a_restart_is_no_failover() -> None:
    """It is told as what it is; what was counted before counts no longer."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill()
    await world.turn()
    world.database.restart()
    world.fill()
    turn = await world.turn(0)
    assert not turn.assessment.sample.replaced
    assert world.told.names(apart_from=QUIET)[-1] == "server_restarted"
    assert not world.store.incidents
    await world.told_of(Event.INCIDENT_RELIEVED, within=timedelta(minutes=1))
    assert not world.told.of(Event.SERVER_CHANGED)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_session_of_another_server_is_not_taken_for_gone(restarted: bool) -> None:
    """It may live on where it was; so the outcome is unknown, even after a restart of ours."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.database.break_after = 10
    world.fill()
    await world.turns_until(lambda t: t.in_flight > 0)
    assert {entry.intent.server for entry in world.entries} == {"7700000000000000000/1"}
    if restarted:
        world.fresh_cycles()
    world.database.fail_over()
    world.database.trouble = None
    await world.turns_until(lambda t: t.in_flight == 0)
    assert {result for _, result in world.outcomes()} == {"unknown"}
    assert "another server" in (world.entries[0].outcome.detail if world.entries[0].outcome else "")


async def test_a_session_that_a_restart_has_ended_is_gone() -> None:
    """The same server has no session left from before."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.database.break_after = 10
    world.fill()
    await world.turns_until(lambda t: t.in_flight > 0)
    world.database.restart()
    world.database.trouble = None
    await world.turns_until(lambda t: t.in_flight == 0)
    assert {result for _, result in world.outcomes()} == {"confirmed"}


async def test_sessions_are_never_read_from_another_server_than_the_sample() -> None:
    """The server is replaced in the middle of a cycle, by one that is as full of old sessions."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))

    class Late(FakeDatabase):
        """Fails over right after its sample."""

        async def sessions(self) -> tuple[Session, ...]:
            self.fail_over()
            world.fill(age=timedelta(0))
            return await FakeDatabase.sessions(self)

    world.databases["shop"] = Late(world.clock, "shop")
    world.fresh_cycles()
    world.fill()
    turn = await world.turns(2)
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.UNREADABLE,)
    assert "since the sample" in turn.plan.detail
    assert not world.database.signals
    assert not world.entries


async def test_logins_that_never_end_get_no_service_restarted() -> None:
    """The slots are held by no session: a person is told, and nothing innocent is touched."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.fill(10)
    world.database.half_open = 90
    turn = await world.told_of(Event.INCIDENT_HELD)
    assert turn.plan is not None
    assert [Objection.LOGINS in step.objections for step in turn.plan.steps] == [False, True]
    assert "logging in" in world.told.of(Event.INCIDENT_HELD)[0]["because"]
    await world.turns(100)
    assert not world.entries
    assert len(world.told.of(Event.INCIDENT_HELD)) == 1
    world.database.half_open = 0
    await world.told_of(Event.INCIDENT_CLOSED)


async def test_logins_on_top_of_a_leak_do_not_protect_it() -> None:
    """Sessions in use beyond what the ladder aims at are a reason to restart."""
    world = World(make_policy(steps=(RESTART,)))
    world.fill(60)
    world.database.half_open = 37
    await world.turns_until(lambda _: bool(world.restarted), within=timedelta(minutes=2))
