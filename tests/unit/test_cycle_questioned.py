"""A restart that follows a diagnostic: what is true before the one must still be true after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.core.ledger import Lock, Pause, service_scope
from remediator.core.maintenance import Recurrence
from remediator.core.model import Replica
from remediator.testing import FakeRuntime
from tests.builders import make_policy
from tests.unit.cycle_world import RESTART, World


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


async def asking() -> tuple[World, AskedRuntime]:
    """A world in which a replica is being asked before its restart."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    runtime = AskedRuntime(world)
    world.runtimes["celery"] = runtime
    world.fresh_cycles()
    world.fill()
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
    assert entry.outcome.result.value == "changed"
    assert because in entry.outcome.detail


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
