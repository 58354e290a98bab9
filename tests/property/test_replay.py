"""Replaying the policy that was in force reproduces what was decided, whatever happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.adapters.recording import Keep, Recorder, SqliteRecording
from remediator.core.attribution import Claim
from remediator.core.ledger import Entry, Pause
from remediator.core.model import IDLE, Level, Mode
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import TerminateSession
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
from remediator.core.suspicion import Otherwise, Suspicion
from remediator.core.turn import Turn
from remediator.cycle import Attributor
from remediator.testing import FakeDatabase, Reaction
from remediator.testing.recording import MemoryRecording
from remediator.testing.session import FakeSession
from tests.builders import START, UNREACHABLE, make_policy
from tests.replaying import Replayed, finish, replayed
from tests.unit.cycle_world import Told, World

TERMINATE = TerminateIdle(timedelta(minutes=10))
SUSPICIONS = [
    Suspicion(("celery", "api"), share, age, otherwise=otherwise)
    for share, age, otherwise in (
        (0.5, timedelta(minutes=1), Otherwise.HOLD),
        (0.6, timedelta(minutes=5), Otherwise.IN_ORDER),
    )
]
CULPRITS: list[tuple[Step, ...]] = [
    tuple(RestartService(name, suspicion=s) for name in s.among) for s in SUSPICIONS
]
STEPS: list[tuple[Step, ...]] = [
    (TERMINATE,),
    (TERMINATE, RestartService("celery")),
    (RestartService("celery"), TERMINATE, RestartService("api")),
    *((TERMINATE, *culprit) for culprit in CULPRITS),
    *CULPRITS,
]
CLAIMS = [Claim(Owner(OwnerKind.SERVICE, name), applications=(name,)) for name in ("celery", "api")]


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
    *("hours", "guard", "work", "api leaks"),
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


class Scribe(MemoryRecording):
    """Keeps everything in memory, and at the same time as the daemon does: in a file.

    Args:
        state_dir: Where the file is.
        mode: Whose readings these are.
        run: Which life of the daemon it is.
    """

    def __init__(self, state_dir: Path, mode: Mode, run: str) -> None:
        super().__init__(mode, run)
        self.state_dir = state_dir
        self.trouble = Told()
        self.recorder = self._recorder()

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Keep a reading twice, at the pace of the disk."""
        super().completed(database, policy, turn)
        self.recorder.completed(database, policy, turn)
        while self.recorder._waiting.qsize() > 100:  # noqa: SLF001  in life there are seconds between them
            time.sleep(0.001)

    def reborn(self, run: str) -> None:
        """Begin another life of the daemon."""
        finish(self.recorder)
        self.run = run
        self.recorder = self._recorder()

    async def from_file(self) -> list[Reading]:
        """What the file has."""
        finish(self.recorder)
        assert self.trouble.lines == []
        recording = SqliteRecording(self.state_dir, self._mode)
        ever = timedelta(days=1000)
        found = [r async for r in recording.whole("shop", START - ever, START + ever)]
        await recording.close()
        assert recording.damaged == 0
        return found

    def _recorder(self) -> Recorder:
        keep = Keep(timedelta(days=1000), timedelta(days=1000), 1_000_000_000)
        return Recorder(self.state_dir, self._mode, self.run, keep, self.trouble)


async def live(scene: Scene, state_dir: Path) -> tuple[World, Scribe]:
    """Let it happen, and record it."""
    world = World(scene.policy, mode=scene.mode)
    world.database.cutoffs = scene.policy.cutoffs
    recording = Scribe(state_dir, scene.mode, "0")
    world.follower, world.attributor = recording, Attributor(claims=CLAIMS)
    world.fresh_cycles()
    for number, (word, amount) in enumerate((("turns", 1), *scene.happens, ("fill", 96), ("turns", 5))):
        await _happen(world, recording, word, amount, number)
    return world, recording


async def _happen(world: World, recording: Scribe, word: str, amount: int, number: int) -> None:
    now, database, length = world.clock.now().at, world.database, timedelta(seconds=amount)
    match word:
        case "turns":
            await world.turns(amount % 12 + 1)
        case "hours":
            for _ in range(amount):
                await world.turn(30 + amount % 2)
        case "pause":
            await world.store.pause(Pause(now, now + length if amount % 2 else None))
        case "resume":
            await world.store.resume()
        case "ack":
            await world.store.acknowledge()
        case "restart":
            recording.reborn(str(number))
            world.fresh_cycles()
        case "react":
            world.runtimes["celery"].script("celery-1", list(Reaction)[amount % len(Reaction)])
        case _:
            _befall(database, word, amount, world)


def _befall(database: FakeDatabase, word: str, amount: int, world: World) -> None:
    _befall_sessions(list(database._present()), word, amount, world)  # noqa: SLF001  those who are there
    match word:
        case "fill":
            world.fill(amount, age=timedelta(minutes=amount))
        case "leak":
            world.leak(amount)
        case "sleep":
            world.clock.sleep(timedelta(minutes=amount))
        case "jump" if all(entry.outcome for entry in world.entries):
            world.clock.jump(timedelta(minutes=amount - 50))
        case "down":
            database.trouble = UNREACHABLE if amount % 2 else None
        case "fail over":
            database.fail_over()
        case "full of logins":
            database.half_open = amount


def _befall_sessions(there: list[FakeSession], word: str, amount: int, world: World) -> None:
    match word:
        case "api leaks":
            world.fill(amount, application="api", age=timedelta(seconds=amount))
        case "guard":
            for session in there[-amount:]:  # not to be terminated from now on
                session.advisory_lock = True
        case "work":
            for session in there[:amount]:
                session.run() if session.state == IDLE else session.rest()
        case "leave":  # by themselves
            for session in there[:amount]:
                world.database.leave(session)


async def replay_of(world: World, recorded: Sequence[Reading], policy: Policy) -> Replayed:
    """Replay what was recorded by a policy."""
    services = {name: Service(name) for name in world.runtimes}
    incidents = world.store.incidents.values()
    return await replayed(recorded, incidents, world.entries, {"shop": policy}, services, world.mode)


def decisions(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    """What was intended, in order."""
    return [
        (e.intent.at, e.intent.incident, e.intent.round, e.intent.step, e.intent.action, e.intent.because)
        for e in entries
    ]


@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_the_same_policy_decides_the_same(scene: Scene) -> None:
    """Levels, incidents with their phases, plans, and every action; from what is in the file."""
    with TemporaryDirectory() as state_dir:
        asyncio.run(lived_and_replayed(scene, Path(state_dir)))


async def lived_and_replayed(scene: Scene, state_dir: Path) -> Replayed:
    """Let a scene happen, replay what was recorded of it, and compare."""
    world, recording = await live(scene, state_dir)
    kept = await recording.from_file()
    assert kept == sorted(recording.kept, key=lambda reading: reading.sample.moment.steady)
    again = await replay_of(world, kept, scene.policy)
    assert len(again.after) == len(recording.kept)
    assert decisions(again.entries) == decisions(world.entries)
    for then, now in zip(again.before, again.after, strict=True):
        assert (now.level, now.pending, now.findings) == (then.level, then.pending, then.findings)
        assert now.incident == then.incident
        assert now.plan == then.plan
    return again


@pytest.mark.parametrize("mode", list(Mode))
async def test_there_is_something_to_decide(mode: Mode, tmp_path: Path) -> None:
    """The property is not about nothing."""
    happens = (("fill", 96), ("turns", 11), ("leak", 97), ("turns", 11))
    again = await lived_and_replayed(Scene(happens, make_policy(), mode), tmp_path)
    assert len(decisions(again.entries)) > 20
    assert any(r.incident for r in again.after)


@pytest.mark.parametrize("steps", STEPS)
async def test_for_hours_nothing_is_invented(steps: tuple[Step, ...], tmp_path: Path) -> None:
    """Sessions that must be spared hold the slots for hours: a replay terminates none of them either."""
    happens = (("fill", 96), ("guard", 96), ("hours", 97), ("hours", 96), ("restart", 1), ("hours", 50))
    again = await lived_and_replayed(Scene(happens, make_policy(steps=steps), Mode.ENFORCE), tmp_path)
    hours = [r for r in again.before if r.incident and r.at - r.incident.opened_at > timedelta(hours=1)]
    assert len(hours) > 50
    assert not any(isinstance(entry.intent.action, TerminateSession) for entry in again.entries)
    assert any(r.survey is not None for r in again.before)
    assert all(r.survey is not None for r in hours if r.plan is not None and r.plan.rungs)


async def test_a_survey_that_is_missing_is_not_made_up(tmp_path: Path) -> None:
    """What the policy of then saw is not known then, which is no reason to act."""
    happens = (("fill", 96), ("guard", 96), ("hours", 97))
    scene = Scene(happens, make_policy(steps=(TERMINATE,)), Mode.ENFORCE)
    world, recording = await live(scene, tmp_path)
    lost = [replace(reading, survey=None) for reading in recording.kept]
    again = await replay_of(world, lost, scene.policy)
    assert not again.entries
    assert any(r.plan and "unreadable" in r.plan.objections for r in again.after)
