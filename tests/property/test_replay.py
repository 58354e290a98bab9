"""Replaying the policy that was in force reproduces what was decided, whatever happened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.core.ledger import Entry, Pause
from remediator.core.model import Level, Mode
from remediator.core.policy import (
    Backoff,
    Conditions,
    IdleCount,
    LevelRule,
    Policy,
    Rate,
    RestartService,
    Step,
    TerminateIdle,
)
from remediator.core.reading import Reading
from remediator.core.service import Service
from remediator.replay import Rerun, Script, rerun
from remediator.testing import FakeDatabase, Reaction
from remediator.testing.recording import MemoryRecording
from tests.builders import UNREACHABLE, make_policy
from tests.unit.cycle_world import World

TERMINATE = TerminateIdle(timedelta(minutes=10))
STEPS: list[tuple[Step, ...]] = [
    (TERMINATE,),
    (TERMINATE, RestartService("celery")),
    (RestartService("celery"), TERMINATE, RestartService("api")),
]


IDLING = {
    Level.MONITOR: LevelRule(Conditions(idle_in_transaction=IdleCount(timedelta(minutes=1), 0.1))),
    Level.CRITICAL: LevelRule(Conditions(0.9, never_used=IdleCount(timedelta(minutes=1), 30))),
}


@dataclass(frozen=True)
class Scene:
    """What happens, one after the other: a word and a number."""

    happens: tuple[tuple[str, int], ...]
    policy: Policy
    mode: Mode


WORDS = (
    *("pause", "resume", "ack", "restart", "react", "fill", "leak", "sleep", "jump", "leave", "down"),
    *("fail over", "full of logins", "turns", "turns", "turns", "turns", "turns", "fill", "leak"),
)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A policy, a mode, and some time in a world in which all kinds of things happen."""
    happens = draw(st.lists(st.tuples(st.sampled_from(WORDS), st.integers(1, 97)), min_size=3, max_size=25))
    policy = make_policy(
        levels=draw(st.sampled_from([None, IDLING])),
        steps=draw(st.sampled_from(STEPS)),
        until=draw(st.sampled_from([0.5, 0.8])),
        retry=timedelta(seconds=draw(st.sampled_from([20, 300]))),
        terminate=Rate(draw(st.sampled_from([20, 500])), timedelta(hours=1)),
        per_step=draw(st.sampled_from([0.2, 0.5, 1.0])),
        backoff=draw(st.sampled_from([None, Backoff(timedelta(minutes=1), timedelta(hours=1))])),
        failed_rounds=draw(st.sampled_from([1, 3])),
    )
    return Scene(tuple(happens), policy, draw(st.sampled_from(list(Mode))))


async def live(scene: Scene) -> tuple[World, MemoryRecording]:
    """Let it happen, and record it."""
    world = World(scene.policy, mode=scene.mode)
    recording = MemoryRecording(scene.mode, "0")
    world.follower = recording
    world.fresh_cycles()
    for number, (word, amount) in enumerate((("turns", 1), *scene.happens, ("fill", 96), ("turns", 5))):
        await _happen(world, recording, word, amount, number)
    return world, recording


async def _happen(world: World, recording: MemoryRecording, word: str, amount: int, number: int) -> None:
    now, database, length = world.clock.now().at, world.database, timedelta(seconds=amount)
    match word:
        case "turns":
            await world.turns(amount % 12 + 1)
        case "pause":
            await world.store.pause(Pause(now, now + length if amount % 2 else None))
        case "resume":
            await world.store.resume()
        case "ack":
            await world.store.acknowledge()
        case "restart":
            recording.run = str(number)
            world.fresh_cycles()
        case "react":
            world.runtimes["celery"].script("celery-1", list(Reaction)[amount % len(Reaction)])
        case _:
            _befall(database, word, amount, world)


def _befall(database: FakeDatabase, word: str, amount: int, world: World) -> None:
    match word:
        case "fill":
            world.fill(amount, age=timedelta(minutes=amount))
        case "leak":
            world.leak(amount)
        case "sleep":
            world.clock.sleep(timedelta(minutes=amount))
        case "jump" if all(entry.outcome for entry in world.entries):
            world.clock.jump(timedelta(minutes=amount - 50))
        case "leave":
            for session in list(database._present())[:amount]:  # noqa: SLF001  those who go by themselves
                database.leave(session)
        case "down":
            database.trouble = UNREACHABLE if amount % 2 else None
        case "fail over":
            database.fail_over()
        case "full of logins":
            database.half_open = amount


async def replayed(world: World, recorded: Sequence[Reading], policy: Policy) -> Rerun:
    """Replay what was recorded by a policy."""
    return await rerun(
        Script(
            readings=recorded,
            incidents=list(world.store.incidents.values()),
            entries=world.entries,
            policies={"shop": policy},
            services={name: Service(name) for name in world.runtimes},
            mode=world.mode,
        )
    )


def decisions(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    """What was intended, in order."""
    return [
        (e.intent.at, e.intent.incident, e.intent.round, e.intent.step, e.intent.action, e.intent.because)
        for e in entries
    ]


@given(scene=scenes())
@settings(max_examples=40, deadline=None)
def test_the_same_policy_decides_the_same(scene: Scene) -> None:
    """Levels, incidents with their phases, plans, and every action."""

    async def lived_and_replayed() -> None:
        world, recording = await live(scene)
        again = await replayed(world, recording.kept, scene.policy)
        assert len(again.after) == len(recording.kept)
        assert decisions(again.entries) == decisions(world.entries)
        for then, now in zip(again.before, again.after, strict=True):
            assert (now.level, now.pending, now.findings) == (then.level, then.pending, then.findings)
            assert now.incident == then.incident
            assert now.plan == then.plan

    asyncio.run(lived_and_replayed())


@pytest.mark.parametrize("mode", list(Mode))
async def test_there_is_something_to_decide(mode: Mode) -> None:
    """The property is not about nothing."""
    world, recording = await live(
        Scene((("fill", 96), ("turns", 11), ("leak", 97), ("turns", 11)), make_policy(), mode)
    )
    again = await replayed(world, recording.kept, world.policy)
    assert len(decisions(again.entries)) > 20
    assert any(r.incident for r in again.after)
