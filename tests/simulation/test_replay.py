"""In simulated worlds, too, a replay by the policies of then reproduces what the daemon decided."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from remediator.core.ledger import Entry
from remediator.ports import Follower
from remediator.testing.recording import MemoryRecording
from tests.replaying import Replayed, replayed
from tests.simulation.options import Options, Tamper
from tests.simulation.runner import simulate
from tests.simulation.scenery import read_config

SEEDS = (1,)
DAYS = 0.5


class Scribe(Tamper):
    """Records, and keeps at hand what a replay needs; changes nothing."""

    def config(self, text: str) -> str:
        """The config."""
        self.settings = read_config(text)
        return text

    def follower(self) -> Follower | None:
        """A recording of one life."""
        self.recording = MemoryRecording(self.settings.mode, "the only life")
        return self.recording

    def witness(self, witness: Any) -> Any:
        """Whose ledger it is."""
        self.eye = witness
        return witness


@cache
def lived(seed: int) -> tuple[Scribe, Replayed]:
    """Simulate a world in which services leak and die, and nothing else fails; then replay it."""
    scribe = Scribe()
    report = simulate(Options(seed, DAYS, faults=False, tamper=scribe))
    assert report.violation is None, report.story
    settings, store = scribe.settings, scribe.eye.store
    again = replayed(
        scribe.recording.kept,
        store.incidents.values(),
        store.entries.values(),
        {d.name: d.policy for d in settings.databases},
        {s.service.name: s.service for s in settings.services},
        settings.mode,
    )
    return scribe, asyncio.run(again)


def decisions(entries: Iterable[Entry]) -> list[tuple[object, ...]]:
    """What was intended, in order."""
    found = (
        (e.intent.at, e.intent.database, e.intent.round, e.intent.step, e.intent.action) for e in entries
    )
    return sorted(found, key=str)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_simulated_world_is_replayed_exactly(seed: int) -> None:
    """Every level, incident and plan of every cycle, and every action."""
    scribe, again = lived(seed)
    assert len(again.after) == len(scribe.recording.kept)
    assert decisions(again.entries) == decisions(scribe.eye.store.entries.values())
    for then, now in zip(again.before, again.after, strict=True):
        assert (now.level, now.pending, now.findings) == (then.level, then.pending, then.findings)
        assert (now.incident, now.plan) == (then.incident, then.plan)


def test_enough_is_decided_for_that_to_mean_something() -> None:
    """Many actions."""
    assert sum(len(lived(seed)[1].entries) for seed in SEEDS) > 50
