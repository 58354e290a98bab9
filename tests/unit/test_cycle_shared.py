"""Two databases whose policies restart the same service."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from remediator.core.events import Event
from remediator.core.plan import Objection
from remediator.core.policy import Rate, RestartService
from remediator.cycle.unwatched import settle_unwatched
from remediator.ports import LedgerStore
from remediator.testing import Reaction
from tests.builders import make_policy
from tests.unit.cycle_world import RESTART, TERMINATE, World, breathe


def _world(**more: object) -> World:
    policy = make_policy(steps=(RESTART,), **more)  # type: ignore[arg-type]
    world = World(policy, databases=("shop", "stock"), services={"celery": 2})
    world.fill()
    return world


class _Slow:
    """A ledger that takes its time over each call, as on a disk; others have their turn meanwhile."""

    def __init__(self, ledger: object) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._ledger, name)

        async def slowly(*arguments: object) -> object:
            await breathe()
            found: object = await call(*arguments)
            await breathe()
            return found

        return slowly


@pytest.mark.parametrize("slow", [False, True])
async def test_never_two_restarts_of_a_service_at_once(*, slow: bool) -> None:
    """Both databases are critical at the same moment; one restarts, the other one waits for it."""
    world = _world(restart_per_service=Rate(10, timedelta(hours=1)))
    if slow:
        world.fresh_cycles(cast("LedgerStore", _Slow(world.store)))
    for _ in range(60):
        await world.turn()
        open_entries = [e for e in world.entries if e.outcome is None]
        assert len(open_entries) <= 1
    held = [line for line in world.told.of(Event.PLAN_MADE) if "in_flight" in line["objections"]]
    assert {line["database"] for line in held} == {"shop", "stock"}
    assert "for another database" in "".join(line["detail"] for line in held)


async def test_the_limit_of_a_service_is_shared() -> None:
    """However many databases ask for it, one rolling restart in half an hour is what it gets."""
    world = _world()
    await world.turns(300)
    assert world.restarted == ["celery-1", "celery-2"]
    assert len({entry.intent.database for entry in world.entries}) == 1


async def test_a_service_locked_for_one_database_is_locked_for_the_other() -> None:
    """What did not come back once is not tried again on another database's account."""
    world = _world(restart_per_service=Rate(10, timedelta(hours=1)))
    world.runtimes["celery"].script("celery-1", Reaction.STAY_DOWN)
    await world.told_of(Event.LOCKED)
    await world.turns(200)
    assert world.restarted == ["celery-1"]
    assert len(world.told.of(Event.LOCKED)) == 1


async def test_each_database_has_its_own_incident_and_its_own_terminations() -> None:
    """One database's relief says nothing about the other."""
    world = World(make_policy(steps=(TERMINATE, RestartService("api"))), databases=("shop", "stock"))
    world.fill()
    world.databases["stock"].restart()
    await world.told_of(Event.INCIDENT_RELIEVED)
    (incident,) = world.store.incidents.values()
    assert incident.database == "shop"
    assert world.databases["shop"].signals
    assert not world.databases["stock"].signals


async def test_a_database_that_hangs_does_not_hold_the_other_back() -> None:
    """Deciding is one at a time, but nobody waits for a neighbour of somebody else."""
    world = _world(restart_per_service=Rate(10, timedelta(hours=1)))
    world.databases["stock"].gate = asyncio.Event()
    shop, stock = world.cycles
    hanging = asyncio.create_task(stock.run(world.clock.now()))
    world.cycles = [shop]
    await world.turns_until(lambda _: len(world.restarted) == 2)
    assert not hanging.done()
    world.databases["stock"].gate.set()
    turn = await hanging
    assert turn.assessment.sample.slots is not None


async def test_waiting_for_the_other_is_not_a_failed_round() -> None:
    """The one that waits has its round when the service is free again."""
    world = _world(restart_per_service=Rate(10, timedelta(hours=1)))
    await world.turns_until(lambda _: len(world.restarted) == 2)
    waiting = [
        i for i in world.store.incidents.values() if i.id not in {e.intent.incident for e in world.entries}
    ]
    assert [i.failed_rounds for i in waiting] == [0]
    assert [i.step for i in waiting] == [0]
    turn = await world.turns_until(lambda _: len({e.intent.database for e in world.entries}) == 2)
    assert turn.plan is None or Objection.LOCKED not in turn.plan.objections


async def test_a_database_that_has_left_the_config_keeps_no_service_in_flight() -> None:
    """What an earlier run left open for it is settled as unknown, and the service is free for the other."""
    world = _world(restart_per_service=Rate(10, timedelta(hours=1)))
    await world.turns_until(lambda _: bool(world.restarted))
    (first,) = world.entries
    stays = ({"shop", "stock"} - {first.intent.database}).pop()
    world.databases = {stays: world.databases[stays]}
    world.fresh_cycles()
    for _ in range(2):  # the second time there is nothing left to settle, or to say
        await settle_unwatched(world.store, {stays}, world.told, world.mode, world.clock.now())
    (finished,) = world.told.of(Event.ACTION_FINISHED)
    assert (finished["database"], finished["outcome"]) == (first.intent.database, "unknown")
    (over,) = world.told.of(Event.INCIDENT_CLOSED)
    assert over["database"] == first.intent.database
    assert world.outcomes() == [("celery-1", "unknown")]
    closed = [i.database for i in world.store.incidents.values() if i.closed_at is not None]
    assert closed == [first.intent.database]
    await world.turns_until(lambda _: len(world.entries) > 1)
    assert world.entries[1].intent.database == stays
