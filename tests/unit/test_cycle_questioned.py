"""A restart that follows a diagnostic: what is true before the one must still be true after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Intent, Ledger, Lock, Pause, service_scope
from remediator.core.maintenance import Recurrence
from remediator.core.model import Replica
from remediator.core.policy import RestartService
from remediator.core.trouble import Trouble, TroubleKind
from remediator.testing import FakeRuntime
from remediator.testing.ledger import MemoryLedger
from tests.builders import make_policy
from tests.unit.cycle_world import RESTART, World, breathe


class AskedRuntime(FakeRuntime):
    """Its replicas take until they are told to before they have answered."""

    def __init__(self, world: World) -> None:
        super().__init__("celery", clock=world.clock, takes=timedelta(0))
        self.asked: list[str] = []
        self.answered = asyncio.Event()

    async def question(self, replica: Replica) -> None:
        """Ask."""
        self.asked.append(replica.name)
        await self.answered.wait()


class SlowLedger(MemoryLedger):
    """Something happens while it is read, or while intents are recorded."""

    while_read: Callable[[], object] = staticmethod(lambda: None)
    while_recorded: Callable[[], object] = staticmethod(lambda: None)

    async def load(self, since: datetime) -> Ledger:
        """Read it, as always."""
        ledger = await super().load(since)
        self.while_read()
        return ledger

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record them, as always."""
        entries = await super().intend(incident, intents)
        self.while_recorded()
        return entries


def full_world(*steps: RestartService) -> tuple[World, AskedRuntime, SlowLedger]:
    """A world in which replicas are asked before their restart."""
    world = World(make_policy(steps=steps), services={"celery": 1, "api": 1})
    runtime, store = AskedRuntime(world), SlowLedger()
    world.runtimes["celery"], world.store = runtime, store
    world.fresh_cycles()
    world.fill()
    return world, runtime, store


async def asking(*others: RestartService) -> tuple[World, AskedRuntime]:
    """A world in which a replica is being asked before its restart."""
    world, runtime, _ = full_world(RESTART, *others)
    await world.turns_until(lambda _: bool(runtime.asked))
    await world.turns(3)
    assert not runtime.restarted
    assert world.outcomes() == [("celery-1", None)]
    return world, runtime


async def test_who_has_answered_is_restarted() -> None:
    """As soon as the next check shows that it still is as it was."""
    world, runtime = await asking()
    runtime.answered.set()
    await world.turns(2)
    assert runtime.restarted == ["celery-1"]
    await world.turns(10)
    assert world.outcomes() == [("celery-1", "confirmed")]
    assert runtime.asked == ["celery-1"]


async def pause(world: World) -> None:
    """A person has seen it too."""
    await world.store.pause(Pause(world.clock.now().at, None, "I am on it"))


async def relieve(world: World) -> None:
    """The leak has ended by itself."""
    world.database.restart()


async def maintain(world: World) -> None:
    """A window begins."""
    world.cycles[0].policy = replace(world.policy, maintenance=(Recurrence("* * * * *", timedelta(hours=1)),))


async def lose_the_claim(world: World) -> None:
    """Another remediator has the right to act by now."""
    claim = world.database.claim
    claim.wanted, claim.holder = True, "another"


async def fail_over(world: World) -> None:
    """Another server answers."""
    world.database.fail_over()


async def lock(world: World) -> None:
    """The service came to harm on another database's account."""
    await world.store.lock(Lock(service_scope("celery"), world.clock.now().at, "it did not come back"))


@pytest.mark.parametrize(
    ("meanwhile", "because"),
    [
        (pause, "I am on it"),
        (relieve, "no longer critical"),
        (maintain, "maintenance"),
        (lose_the_claim, "another remediator"),
        (fail_over, "another server"),
        (lock, "locked"),
    ],
)
async def test_what_has_come_between_is_respected(
    meanwhile: Callable[[World], Awaitable[None]], because: str
) -> None:
    """Given something that forbids it while the replica is asked, then it stays as it is, and why is said."""
    world, runtime = await asking()
    await meanwhile(world)
    runtime.answered.set()
    await world.turns(20)
    assert not runtime.restarted
    entry = world.entries[0]
    assert entry.outcome is not None
    assert entry.outcome.result.value == "dropped"
    assert because in entry.outcome.detail


async def lose_sight(world: World) -> None:
    """The server does not answer one check."""
    world.database.trouble = Trouble(TroubleKind.TIMEOUT, "no answer")
    await world.turn()
    world.database.trouble = None


async def pause_for_a_moment(world: World) -> None:
    """A person has a look, and lets it go on."""
    await world.store.pause(Pause(world.clock.now().at, None, "I am on it"))
    await world.turn()
    await world.store.resume()


@pytest.mark.parametrize("meanwhile", [lose_sight, pause_for_a_moment])
async def test_what_is_over_soon_costs_the_service_its_turn_no_more_than_without_asking(
    meanwhile: Callable[[World], Awaitable[None]],
) -> None:
    """Given another service behind it on the ladder, then that one is not restarted in its stead."""
    world, runtime = await asking(RestartService("api"))
    runtime.answered.set()
    await breathe()
    await meanwhile(world)
    assert world.outcomes() == [("celery-1", "dropped")]
    await world.turns_until(lambda _: bool(world.restarted))
    assert world.restarted == ["celery-1"]
    assert len(runtime.asked) == 2


async def test_who_has_answered_is_not_restarted_by_an_old_reading() -> None:
    """Given an hour between the reading and what is read of the ledger, then the next check decides."""
    world, runtime, store = full_world(RESTART)
    await world.turns_until(lambda _: bool(runtime.asked))
    runtime.answered.set()
    await breathe()
    store.while_read = lambda: world.clock.sleep(timedelta(hours=1))
    await world.turn()
    assert world.told.of(Event.READING_AGED)
    assert not runtime.restarted
    store.while_read = lambda: None
    await world.turns_until(lambda _: bool(runtime.restarted))


async def test_nobody_is_asked_by_who_may_not_act_any_more() -> None:
    """Given another remediator that takes over while the intent is recorded, then no program is run."""
    world, runtime, store = full_world(RESTART)
    claim = world.database.claim

    def take_over() -> None:
        claim.wanted, claim.holder = True, "another"

    store.while_recorded = take_over
    await world.turns_until(lambda _: world.outcomes() == [("celery-1", "dropped")])
    assert not runtime.asked


async def test_nothing_is_restarted_while_the_ledger_is_gone() -> None:
    """It is decided when it is back."""
    world, runtime = await asking()
    world.store.broken = "no space left"
    runtime.answered.set()
    await world.turns(5)
    assert not runtime.restarted
    await pause_when_back(world)
    await world.turns(5)
    assert not runtime.restarted


async def pause_when_back(world: World) -> None:
    """The ledger can be used again, and there is a pause in it."""
    world.store.broken = None
    await pause(world)
