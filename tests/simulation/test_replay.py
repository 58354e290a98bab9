"""In simulated worlds, too, a replay by the policies of then reproduces what the daemon decided."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from remediator.core.ledger import Entry
from remediator.ports import Follower
from remediator.replay import Rerun, Script, rerun
from remediator.testing.recording import MemoryRecording
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
def lived(seed: int) -> tuple[Script, Rerun]:
    """Simulate a world in which services leak and die, and nothing else fails; then replay it."""
    scribe = Scribe()
    report = simulate(Options(seed, DAYS, faults=False, tamper=scribe))
    assert report.violation is None, report.story
    settings, store = scribe.settings, scribe.eye.store
    script = Script(
        readings=scribe.recording.kept,
        incidents=list(store.incidents.values()),
        entries=list(store.entries.values()),
        policies={d.name: d.policy for d in settings.databases},
        services={s.service.name: s.service for s in settings.services},
        mode=settings.mode,
    )
    return script, asyncio.run(rerun(script))


def decisions(entries: Iterable[Entry]) -> list[tuple[object, ...]]:
    """What was intended, in order."""
    found = (
        (e.intent.at, e.intent.database, e.intent.round, e.intent.step, e.intent.action) for e in entries
    )
    return sorted(found, key=str)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_simulated_world_is_replayed_exactly(seed: int) -> None:
    """Every level, incident and plan of every cycle, and every action."""
    script, again = lived(seed)
    assert len(again.after) == len(script.readings)
    assert decisions(again.entries) == decisions(script.entries)
    for then, now in zip(again.before, again.after, strict=True):
        assert (now.level, now.pending, now.findings) == (then.level, then.pending, then.findings)
        assert (now.incident, now.plan) == (then.incident, then.plan)


def test_enough_is_decided_for_that_to_mean_something() -> None:
    """Many actions."""
    assert sum(len(lived(seed)[0].entries) for seed in SEEDS) > 50
