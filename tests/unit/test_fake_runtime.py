"""The shipped fakes do what their scripts say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core.model import Exempt, Health, ReplicaState
from remediator.errors import RejectedError, UnavailableError
from remediator.ports import Receipt
from remediator.testing import FakeClock, FakeRuntime, Reaction


async def restarted(*reactions: Reaction) -> tuple[FakeRuntime, Receipt]:
    """A runtime whose only replica was restarted once."""
    runtime = FakeRuntime()
    runtime.script("api-1", *reactions)
    return runtime, await runtime.restart((await runtime.replicas())[0])


def test_the_clock_stands_still_until_it_is_moved() -> None:
    """Time passes on both clocks, a jump is seen on one."""
    clock = FakeClock()
    first = clock.now()
    assert clock.now() == first
    passed = clock.advance(2.5)
    assert (passed.at - first.at, passed.mono - first.mono) == (timedelta(seconds=2.5), 2.5)
    jumped = clock.jump(timedelta(hours=-1))
    assert (jumped.at - passed.at, jumped.mono) == (timedelta(hours=-1), passed.mono)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


async def test_a_restart_takes_its_time() -> None:
    """On the clock that the test holds."""
    clock = FakeClock()
    runtime = FakeRuntime(replicas=2, clock=clock, takes=timedelta(seconds=7))
    before = clock.now()
    first, second = await runtime.replicas()
    await runtime.restart(second)
    assert clock.now().at - before.at == timedelta(seconds=7)
    assert runtime.restarted == ["api-2"]
    assert (await runtime.replicas())[0] == first


async def test_a_crash_loop_never_looks_the_same() -> None:
    """Until the next restart ends it."""
    runtime, receipt = await restarted(Reaction.CRASH_LOOP, Reaction.COMPLY)
    assert receipt is Receipt.SENT
    looks = [(await runtime.replicas())[0] for _ in range(3)]
    assert [replica.restarts for replica in looks] == [1, 2, 3]
    assert len({replica.started for replica in looks}) == 3
    await runtime.restart(looks[-1])
    assert await runtime.replicas() == await runtime.replicas()


@pytest.mark.parametrize(
    ("reaction", "state", "health"),
    [
        (Reaction.COMPLY, ReplicaState.RUNNING, Health.NONE),
        (Reaction.STAY_DOWN, ReplicaState.EXITED, Health.NONE),
        (Reaction.STAY_UNHEALTHY, ReplicaState.RUNNING, Health.UNHEALTHY),
    ],
)
async def test_what_becomes_of_it_is_in_the_state(
    reaction: Reaction, state: ReplicaState, health: Health
) -> None:
    """The receipt is the same for all."""
    runtime, receipt = await restarted(reaction)
    [replica] = await runtime.replicas()
    assert (receipt, replica.state, replica.health) == (Receipt.SENT, state, health)


@pytest.mark.parametrize(("reaction", "happened"), [(Reaction.HANG, False), (Reaction.ANSWER_LOST, True)])
async def test_no_answer_proves_nothing(reaction: Reaction, *, happened: bool) -> None:
    """It may have been restarted or not."""
    runtime = FakeRuntime()
    [before] = await runtime.replicas()
    runtime.script("api-1", reaction)
    with pytest.raises(UnavailableError):
        await runtime.restart(before)
    [after] = await runtime.replicas()
    assert (after.started != before.started) is happened


async def test_a_replica_may_vanish_or_be_removed() -> None:
    """Either way it has changed."""
    runtime, receipt = await restarted(Reaction.VANISH)
    assert (receipt, await runtime.replicas()) == (Receipt.CHANGED, ())
    runtime = FakeRuntime()
    [replica] = await runtime.replicas()
    runtime.remove("api-1")
    assert await runtime.restart(replica) is Receipt.CHANGED


async def test_an_exempt_replica_is_refused() -> None:
    """As the real runtimes do it."""
    runtime = FakeRuntime()
    with pytest.raises(RejectedError):
        await runtime.restart(runtime.change("api-1", exempt=Exempt.OWN))


async def test_a_healthy_replica_comes_back_healthy() -> None:
    """Only one that has a check has a verdict."""
    runtime = FakeRuntime()
    await runtime.restart(runtime.change("api-1", health=Health.UNHEALTHY))
    [replica] = await runtime.replicas()
    assert replica.health is Health.HEALTHY


def test_a_script_is_for_a_replica_that_exists() -> None:
    """A misspelled name would make a test pass for nothing."""
    with pytest.raises(ValueError, match="no replica"):
        FakeRuntime().script("web-1", Reaction.HANG)
