"""Maintenance windows: hands are kept off while they are in force, and eyes are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from remediator.core.events import Event
from remediator.core.maintenance import Recurrence
from remediator.core.plan import Objection
from tests.builders import make_policy
from tests.unit.cycle_world import RESTART, World

# The fake clock begins at the end of a year; this is in force for the hour that contains its beginning.
NIGHTLY = Recurrence("0 * * * *", timedelta(minutes=45), reason="deploy")


def in_force(world: World) -> bool:
    """Whether the clock is within one of the windows."""
    return world.clock.now().at.minute < 45


async def test_nothing_is_begun_in_a_window_and_everything_after_it() -> None:
    """The incident is opened and told; the first act comes with the end of the window."""
    world = World(replace(make_policy(), maintenance=(NIGHTLY,)))
    world.fill()
    while not in_force(world):
        world.clock.advance(timedelta(minutes=1))
    turn = await world.turns(12)
    assert in_force(world)
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.MAINTENANCE,)
    assert turn.plan.detail.endswith(":45:00 UTC: deploy")
    assert len(world.store.incidents) == 1
    assert not world.entries
    await world.turns_until(lambda _: bool(world.entries))
    assert not in_force(world)
    assert world.clock.now().at.minute == 45
    await world.told_of(Event.INCIDENT_RELIEVED)


async def test_what_is_in_flight_when_a_window_begins_is_seen_through() -> None:
    """Its outcome is recorded; the next step waits."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 2})
    world.fill()
    turn = await world.turns_until(lambda t: t.in_flight == 1)
    assert turn.plan is not None
    for cycle in world.cycles:
        cycle.policy = replace(world.policy, maintenance=(Recurrence("* * * * *", timedelta(hours=1)),))
    turn = await world.turns(10)
    assert turn.plan is not None
    assert turn.in_flight == 0
    assert world.outcomes() == [("celery-1", "confirmed")]
    assert Objection.MAINTENANCE in turn.plan.objections
    for cycle in world.cycles:
        cycle.policy = world.policy
    await world.turns_until(lambda _: world.restarted == ["celery-1", "celery-2"])


async def test_relief_in_a_window_is_relief() -> None:
    """Whoever brought it."""
    world = World(replace(make_policy(), maintenance=(Recurrence("* * * * *", timedelta(hours=1)),)))
    world.fill()
    await world.turns(5)
    for session in list(world.database._sessions.values()):  # noqa: SLF001  the fake's own list
        world.database.leave(session)
    await world.told_of(Event.INCIDENT_RELIEVED)
    assert not world.database.signals


async def test_a_window_shows_in_a_look_ahead() -> None:
    """As an objection to everything, with the steps it keeps from being taken."""
    world = World(replace(make_policy(), maintenance=(Recurrence("* * * * *", timedelta(hours=1)),)))
    world.fill()
    turn = await world.cycles[0].look_ahead(world.clock.now())
    assert turn.plan is not None
    assert Objection.MAINTENANCE in turn.plan.objections
    assert turn.plan.steps[0].acts
    assert turn.maintenance is not None
