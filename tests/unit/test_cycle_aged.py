"""What was read too long ago is not acted on: the machine slept, or a neighbour or the disk was slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Intent
from remediator.core.model import Replica
from remediator.core.plan import Objection
from remediator.testing import FakeClock, FakeRuntime
from remediator.testing.ledger import MemoryLedger
from tests.builders import make_policy
from tests.unit.cycle_world import HALF, RESTART, TERMINATE, World

LONG = timedelta(seconds=25)


class SlowRuntime(FakeRuntime):
    """Something happens, and time passes, while its replicas are read."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    async def replicas(self) -> tuple[Replica, ...]:
        """Read them, as always."""
        self.meanwhile()
        return await super().replicas()


class SlowLedger(MemoryLedger):
    """Something happens, and time passes, while intents are recorded."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record them, as always."""
        entries = await super().intend(incident, intents)
        self.meanwhile()
        return entries


def slow_world(meanwhile: Callable[[World], object]) -> World:
    """A full world in which this happens whenever the service is looked at."""
    world = World(make_policy(steps=(TERMINATE, RESTART)), services={"celery": 1})
    runtime = SlowRuntime("celery", clock=world.clock, takes=timedelta(0))
    runtime.meanwhile = lambda: meanwhile(world)
    world.runtimes = {"celery": runtime}
    world.fresh_cycles()
    world.fill()
    return world


def let_most_go(world: World) -> None:
    """The clients leave by themselves."""
    for session in world.database._clients()[HALF:]:  # noqa: SLF001  the fake's own list
        world.database.leave(session)


@pytest.mark.parametrize("pass_time", [FakeClock.advance, FakeClock.sleep], ids=["slow", "asleep"])
async def test_what_is_over_meanwhile_is_not_acted_on(
    pass_time: Callable[[FakeClock, timedelta], object],
) -> None:
    """The plan would rest on a reading from before; another look says that it is over."""

    def meanwhile(world: World) -> None:
        pass_time(world.clock, LONG)
        let_most_go(world)

    world = slow_world(meanwhile)
    await world.told_of(Event.READING_AGED)
    assert world.told.of(Event.READING_AGED)[0]["seconds"] == LONG.total_seconds()
    assert world.entries == []
    assert not world.restarted
    await world.turns(3)
    assert world.entries == []


async def test_another_server_that_the_second_look_meets_is_climbed_for_from_the_foot() -> None:
    """A failover while the machine slept, in the middle of a cycle and of an incident."""
    asleep = False

    def meanwhile(world: World) -> None:
        if asleep and not world.told.of(Event.READING_AGED):
            world.clock.sleep(LONG)
            world.database.fail_over()
            world.fill()

    world = slow_world(meanwhile)
    world.meanwhile = world.leak
    await world.told_of(Event.STEP_SETTLING)
    asleep = True
    turn = await world.told_of(Event.SERVER_CHANGED)
    world.meanwhile = lambda: None
    assert world.told.of(Event.READING_AGED)
    assert turn.incident is not None
    assert (turn.incident.round, turn.incident.step) == (2, 0)
    await world.told_of(Event.INCIDENT_RELIEVED, within=timedelta(minutes=1))
    assert not world.restarted


async def test_a_runtime_that_is_always_slow_keeps_nobody_from_acting() -> None:
    """What another look bears out is acted on in the same cycle."""
    world = slow_world(lambda world: world.clock.advance(LONG))
    await world.told_of(Event.READING_AGED)
    assert {what for what, _ in world.outcomes()} == {"terminate"}
    assert world.used() <= HALF + 1


async def test_intents_that_took_too_long_to_record_are_dropped() -> None:
    """The disk was slow, or the machine slept right then: nothing is done, and the step keeps its turn."""
    world = World(make_policy(steps=(TERMINATE, RESTART)), services={"celery": 1})
    store = SlowLedger()
    world.store = store
    store.meanwhile = lambda: world.clock.advance(LONG)
    world.fresh_cycles()
    world.fill()
    used = world.used()
    await world.told_of(Event.READING_AGED)
    assert {result for _, result in world.outcomes()} == {"dropped"}
    assert world.used() == used
    store.meanwhile = lambda: None
    await world.turns_until(lambda _: world.used() < used)
    assert not world.restarted


async def test_a_breach_before_a_long_sleep_does_not_confirm_one_after_it() -> None:
    """Two samples with an hour between them are no proof of an hour, nor of five seconds."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.fill()
    await world.turn()
    assert not world.store.incidents
    turn = await world.turn(3600)
    assert not world.store.incidents
    assert turn.plan is None or Objection.UNCONFIRMED in turn.plan.objections
    await world.told_of(Event.INCIDENT_OPENED, within=timedelta(minutes=1))
