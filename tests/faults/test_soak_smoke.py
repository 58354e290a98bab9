"""The machinery of the soak: a short run among real parts, and stand-ins with leaks that it must catch."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.faults.conftest import Figure
from tests.soak.judge import Bounds, Finding, judge_process
from tests.soak.readings import Reading, read_process
from tests.soak.run import Pace, soak
from tests.testbed.daemon import ended

SECONDS = 10.0
STAND_IN = """
import os, sys, threading, time
kept = []
while True:
    match sys.argv[1]:
        case "descriptors": kept.append(os.open("/dev/null", os.O_RDONLY))
        case "memory": kept.append(b"x" * 65536)
        case "threads": threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        case "nothing": os.close(os.open("/dev/null", os.O_RDONLY)); b"x" * 65536
    time.sleep(0.02)
"""
CAUGHT = {
    "descriptors": "file descriptors flat",
    "memory": "resident KiB flat",
    "threads": "threads flat",
}


@pytest.mark.usefixtures("postgres_versions")  # the world needs them
def test_a_short_soak(tmp_path: Path, figure: Figure) -> None:
    """Nothing of ours leaks, budgets hold, nobody spared is hit and every incident ends.

    Given real servers, leaking services, honest clients, an engine if there is one, and the daemon
    enforcing; when faults come at random for a while; then the verdict is good.
    """
    seed = time.time_ns() % 1_000_000
    pace = Pace(gap=0.4, longest=0.8, look=0.2, bounds=Bounds(8192, 6))
    verdict = soak(tmp_path, seconds=SECONDS, seed=seed, pace=pace)
    assert verdict.ok, (seed, [f for f in verdict.findings if not f.ok], verdict.facts)
    figure("faults", f"{sum(verdict.facts['faults'].values())} in {SECONDS:g} s, seed {seed}")


def test_a_leak_is_caught(figure: Figure) -> None:
    """Given four processes, of which three leak descriptors, memory, threads, then each leak is found."""
    readings = _watch(["nothing", *CAUGHT])
    found = {kind: _broken(judge_process(of_it)) for kind, of_it in readings.items()}
    assert found.pop("nothing") == set()
    caught = {kind for kind, what in CAUGHT.items() if what in found[kind]}
    assert caught == set(CAUGHT), found
    figure("planted leaks found", f"{len(caught)} of {len(CAUGHT)}")


def test_short_lives_prove_nothing() -> None:
    """Given readings of processes that follow each other quickly, then they are not called flat."""
    readings = [Reading(at, int(at) // 10, 1, 1, 1, 1, 0) for at in range(100)]
    assert _broken(judge_process(readings)) == {"one process through the second half"}


def _broken(findings: list[Finding]) -> set[str]:
    return {finding.what for finding in findings if not finding.ok}


def _watch(kinds: list[str], seconds: float = 4.0) -> dict[str, list[Reading]]:
    """Watch stand-ins side by side."""
    readings: dict[str, list[Reading]] = defaultdict(list)
    processes = {kind: subprocess.Popen([sys.executable, "-c", STAND_IN, kind]) for kind in kinds}
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for kind, process in processes.items():
                reading = read_process(process.pid)
                assert reading is not None, f"{kind} has ended"
                readings[kind].append(reading)
            time.sleep(0.1)
    finally:
        for process in processes.values():
            with ended(process):
                pass
    return readings
