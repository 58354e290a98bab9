"""A fixed number of simulated worlds in which every invariant must hold, and in which enough must happen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from tests.simulation.options import Options
from tests.simulation.runner import Report, simulate

SEEDS = (3, 9, 11, 22, 23, 24, 26, 29, 30, 31, 32, 33)  # one with a large server, some with a culprit
DAYS = 1.0


@cache
def report(seed: int) -> Report:
    """Simulate one seed, once."""
    return simulate(Options(seed, DAYS))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_invariant_holds(seed: int) -> None:
    """Whatever happens in a world of chance, no promise is broken, and all ends well in peace."""
    found = report(seed)
    assert found.violation is None, f"\n{found.story}"


def test_enough_happens_for_that_to_mean_something() -> None:
    """Together these worlds go through everything that the promises are about."""
    happened = sum((report(seed).counts for seed in SEEDS), Counter[str]())
    wanted = {
        "terminated": 100,
        "restarted": 10,
        "incident over": 10,
        "outcome confirmed": 100,
        "outcome simulated": 1,
        "outcome changed": 1,
        "locked": 1,
        "incident_relapsed": 1,
        "evidence_lost": 10,
        "ledger_unavailable": 10,
        "daemon": 50,
        "clock": 5,
        "operator": 20,
        "rival": 5,
        "maintenance_begun": 1,
        "rush": 10,
        "culprit hold": 2,
        "culprit in_order": 2,
        "no_culprit": 10,
        "not_culprit": 10,
    }
    assert {what: happened[what] for what, least in wanted.items() if happened[what] < least} == {}


def test_a_seed_repeats_itself_exactly() -> None:
    """The same seed gives the same story, also in another process with other hashes."""
    seed = 23
    command = f"from tests.simulation.test_simulation import report; print(report({seed}).digest)"
    env = os.environ | {"PYTHONHASHSEED": "12345"}
    out = subprocess.run([sys.executable, "-c", command], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == report(seed).digest
    assert simulate(Options(seed, DAYS)).digest == report(seed).digest
