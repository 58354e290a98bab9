"""A dry run decides what enforcing would, records it, and touches nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from remediator.core.attribution import Claim
from remediator.core.events import Event
from remediator.core.ledger import Pause
from remediator.core.model import (
    Level,
    Mode,
)
from remediator.core.onpaper import UNSEEN
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import Objection, TerminateSession
from remediator.core.policy import Rate, RestartService, Step, TerminateIdle
from remediator.core.suspicion import Suspicion
from remediator.core.trouble import Trouble, TroubleKind
from remediator.cycle import Attributor
from remediator.errors import LedgerError
from tests.builders import make_policy
from tests.unit.cycle_world import FULL, HALF, OLD, RESTART, TERMINATE, World


def _intents(world: World) -> list[tuple[int, int, str]]:
    return [(entry.intent.round, entry.intent.step, entry.intent.action.label) for entry in world.entries]


async def test_it_decides_what_enforcing_would_and_does_nothing() -> None:
    """The same sessions in the same order, counted as gone; relief comes where it would have come."""
    enforcing, simulating = World(), World(mode=Mode.DRY_RUN)
    for world in (enforcing, simulating):
        world.fill()
        await world.told_of(Event.INCIDENT_RELIEVED)
    assert _intents(simulating) == _intents(enforcing)
    assert simulating.database.signals == []
    assert simulating.used() == FULL
    assert {result for _, result in simulating.outcomes()} == {"simulated"}
    assert enforcing.used() == HALF
    assert {line["mode"] for line in simulating.told.of(Event.ACTION_FINISHED)} == {"dry-run"}


async def test_it_climbs_the_ladder_as_far_as_its_samples_lead_it() -> None:
    """A restart is simulated where one would be made; what it would bring cannot be known."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 2}, mode=Mode.DRY_RUN)
    world.fill()
    await world.told_of(Event.INCIDENT_HELD)
    assert world.restarted == []
    assert world.outcomes() == [("celery-1", "simulated"), ("celery-2", "simulated")]


async def test_its_budget_is_spent_as_it_would_have_been() -> None:
    """A dry run shows what the limits do."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1}, mode=Mode.DRY_RUN)
    world.fill()
    await world.turns(340)
    assert len(world.entries) == 1
    await world.turns_until(lambda _: len(world.entries) == 2)
    first, second = (entry.intent.at for entry in world.entries)
    assert second - first >= timedelta(minutes=30)


async def test_simulated_sessions_stay_gone_for_the_incident() -> None:
    """They are not proposed again, round after round."""
    world = World(make_policy(steps=(TERMINATE,), terminate=Rate(60, timedelta(hours=1))), mode=Mode.DRY_RUN)
    world.fill()
    await world.turns(200)
    sessions = [
        e.intent.action.session.id for e in world.entries if isinstance(e.intent.action, TerminateSession)
    ]
    assert len(sessions) == len(set(sessions))


@pytest.mark.parametrize("mode", Mode)
async def test_looking_ahead_plans_the_ladder_and_leaves_no_trace(mode: Mode) -> None:
    """`plan` on a calm database: as if critical were confirmed now; nothing is recorded or said."""
    world = World(mode=mode)
    world.fill(60)
    turn = await world.cycles[0].look_ahead(world.clock.now())
    assert turn.plan is not None
    assert turn.assessment.level is not Level.CRITICAL
    assert [len(step.acts) for step in turn.plan.steps] == [12, 1, 1]
    assert [step.conditional for step in turn.plan.steps] == [False, True, True]
    assert not world.store.incidents
    assert not world.told.lines
    assert not world.database.signals


async def test_looking_ahead_agrees_with_what_is_then_done() -> None:
    """The sessions of the plan are the ones that go."""
    world = World()
    world.fill()
    turn = await world.cycles[0].look_ahead(world.clock.now())
    assert turn.plan is not None
    planned = [
        act.action.session.id for act in turn.plan.steps[0].acts if isinstance(act.action, TerminateSession)
    ]
    await world.told_of(Event.INCIDENT_RELIEVED)
    assert world.database.signals == planned


async def test_looking_ahead_knows_what_is_in_force() -> None:
    """A pause and an open incident count."""
    world = World()
    world.fill()
    await world.store.pause(Pause(world.clock.now().at, None, "hands off"))
    await world.told_of(Event.INCIDENT_OPENED)
    turn = await world.cycles[0].look_ahead(world.clock.now())
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.PAUSED,)
    assert turn.incident in world.store.incidents.values()


async def test_looking_ahead_at_what_cannot_be_read() -> None:
    """Unknown stays unknown; a broken ledger is an error, since no plan can be made without it."""
    world = World()
    world.database.trouble = Trouble(TroubleKind.UNREACHABLE, "connection refused")
    turn = await world.cycles[0].look_ahead(world.clock.now())
    assert turn.plan is not None
    assert Objection.UNKNOWN_EVIDENCE in turn.plan.objections
    world.store.broken = "corrupt"
    with pytest.raises(LedgerError, match="corrupt"):
        await world.cycles[0].look_ahead(world.clock.now())


async def test_looking_is_for_one_sample_alone() -> None:
    """`check` neither needs the ledger nor remembers anything."""
    world = World()
    world.store.broken = "corrupt"
    world.fill()
    looks = await asyncio.gather(*(world.cycles[0].look(world.clock.now()) for _ in range(3)))
    assert {look.pending for look in looks} == {Level.CRITICAL}
    assert not world.told.lines


def _suspects(**more: Any) -> World:
    """A dry run that may terminate nobody yet, and restarts the culprit."""
    suspicion = Suspicion(("celery", "api"), older_than=timedelta(minutes=10))
    steps: list[Step] = [TerminateIdle(timedelta(hours=5))]
    steps += [RestartService(name, suspicion=suspicion) for name in suspicion.among]
    world = World(make_policy(steps=steps, **more), services={"celery": 1, "api": 1}, mode=Mode.DRY_RUN)
    claims = [Claim(Owner(OwnerKind.SERVICE, name), applications=(name,)) for name in suspicion.among]
    world.attributor = Attributor(claims=claims)
    world.fresh_cycles()
    return world


async def test_sessions_of_a_service_restarted_on_paper_are_gone_on_paper() -> None:
    """As they would be in earnest: that relieves, and nobody is blamed for them afterwards."""
    world = _suspects()
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    await world.turns(100)
    assert world.outcomes() == [("celery-1", "simulated")]
    assert world.restarted == []
    assert not world.told.of(Event.INCIDENT_HELD)
    (incident,) = world.store.incidents.values()
    assert (incident.round, incident.failed_rounds) == (1, 0)


async def test_sessions_begun_after_a_restart_on_paper_are_there() -> None:
    """Whoever leaks goes on: those are not gone, and critical again is said."""
    world = _suspects()
    old = [world.database.open(application="celery") for _ in range(FULL - world.used())]
    world.clock.advance(OLD)
    await world.told_of(Event.INCIDENT_RELIEVED)
    for session in old:
        world.database.leave(session)
    world.fill()
    turn = await world.told_of(Event.INCIDENT_RELAPSED)
    assert turn.plan is not None
    assert turn.plan.next_step is None


async def test_a_dry_run_says_that_it_cannot_see_what_a_restart_would_have_brought() -> None:
    """Where nothing tells whose the sessions are: not that it failed, and nobody else is blamed."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1}, mode=Mode.DRY_RUN)
    world.fill()
    await world.told_of(Event.INCIDENT_HELD)
    (held,) = world.told.of(Event.INCIDENT_HELD)
    assert UNSEEN in held["because"]
    turn = await world.turn()
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.WAITING,)
    assert turn.plan.detail.endswith(UNSEEN)
