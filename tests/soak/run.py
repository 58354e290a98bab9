"""One soak: the world, faults at random, an eye on everything all the time, a judgement at the end."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from remediator.adapters.ledger import SqliteLedger
from remediator.core.ledger import Entry
from remediator.core.model import Mode
from tests.soak.faults import Faults
from tests.soak.judge import Bounds, judge_process
from tests.soak.readings import read_process, size_of
from tests.soak.verdict import (
    Seen,
    Verdict,
    facts_of,
    judge_actions,
    judge_daemon,
    judge_ledger,
    judge_sessions,
)
from tests.soak.world import World
from tests.testbed.waiting import wait_until

# The daemon is not ended any more after this share of the time: the second half is one process's life.
ENDS_UNTIL = 0.3


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast things happen, in seconds.

    Attributes:
        gap: The longest pause between two faults.
        longest: The longest that a fault lasts.
        look: The pause between two readings.
        bounds: How much the daemon may gain over the second half; a short run is all warming up.
    """

    gap: float = 8.0
    longest: float = 6.0
    look: float = 1.0
    bounds: Bounds = field(default_factory=Bounds)


def soak(directory: Path, *, seconds: float, seed: int, pace: Pace, with_engine: bool = True) -> Verdict:
    """Run for so long, and judge.

    Args:
        directory: An empty directory for everything that is written.
        seconds: How long faults go on; start and end take longer.
        seed: Decides what happens in which order; when exactly depends on the machine.
        pace: How fast.
        with_engine: Whether a Compose project takes part, where an engine answers.
    """
    chance = random.Random(seed)  # noqa: S311  not for a secret
    begun = datetime.now(UTC)
    with World(directory, seed, with_engine=with_engine) as world:
        faults = Faults(world, chance, longest=pace.longest)
        seen = Seen()
        world.daemon.wait_for("action_finished", within=60)  # the leaks are at work
        with _watched(world, seen, pace.look):
            _let_things_happen(faults, chance, seconds, pace)
            died = not world.daemon.running
        calm = _calm_down(world)
        if not died:
            faults.exits.append(world.daemon.terminate(30))
        left = _left_behind(world)
        events = world.events()
        entries = asyncio.run(_entries(world.daemon.state_dir, begun))
        findings = [
            *judge_process(seen.readings, pace.bounds),
            *judge_sessions(seen, left),
            *judge_ledger(world, seen, entries),
            *judge_actions(world, entries),
            *judge_daemon(world, faults, events, calm=calm),
        ]
        return Verdict(findings, facts_of(world, faults, seen, events, entries))


def _let_things_happen(faults: Faults, chance: random.Random, seconds: float, pace: Pace) -> None:
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        faults.ends = passed < ENDS_UNTIL * seconds
        faults.one()
        time.sleep(chance.uniform(0, pace.gap))


@contextmanager
def _watched(world: World, seen: Seen, every: float) -> Iterator[None]:
    """Read everything again and again, meanwhile."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(every):
            reading = read_process(world.daemon.pid)
            if reading is not None:
                seen.readings.append(reading)
            for name in world.servers:
                number = world.own_sessions(name)
                if number is not None:
                    seen.own[name].append(number)
            seen.wal = max(seen.wal, size_of(world.daemon.state_dir / "ledger.db-wal"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _calm_down(world: World) -> bool:
    """End the leaks, lift what was locked, and tell whether every incident comes to its end."""
    world.stop_leaks()
    world.daemon.run("resume")
    world.daemon.run("ack")

    def over() -> bool:
        incidents = world.daemon.history()
        return all(i["closed_at"] for i in incidents) and all(
            entry["outcome"] for i in incidents for entry in i["entries"]
        )

    try:
        wait_until(over, what="the end of every incident", within=90, every=1)
    except TimeoutError:
        return False
    return True


def _left_behind(world: World) -> dict[str, int | None]:
    """Our sessions on each server after our end; they take a moment to leave."""

    def gone() -> bool:
        return not any(world.own_sessions(name) for name in world.servers)

    with suppress(TimeoutError):
        wait_until(gone, what="our sessions to leave", within=10, every=0.5)
    return {name: world.own_sessions(name) for name in world.servers}


async def _entries(state_dir: Path, since: datetime) -> list[Entry]:
    store = SqliteLedger.open_read_only(state_dir, Mode.ENFORCE)
    try:
        return list((await store.history(since))[1])
    finally:
        await store.close()
