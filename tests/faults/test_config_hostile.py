"""A hostile config: the real program refuses it at little cost, with one line for each mistake."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.faults.conftest import Figure
from tests.testbed.peak import measured, peak_bytes

LIMIT = 250 * 1024
VALUES = 9_900
MEMORY = 100 * 1024 * 1024
CPU = 1.0
SECRET = "cnry-hostile-7f3a"


def check(path: Path) -> tuple[int, str, float, int]:
    """Run `remediator config check` on a file: exit code, what it said, CPU seconds, peak memory in bytes."""
    peak = path.with_name("peak")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        measured(peak, "config", "check", "--config", str(path)),
        env={"PATH": os.environ["PATH"], "SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, done.stdout, cpu, peak_bytes(peak)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, int]:
    """CPU seconds and peak memory of the same command on the smallest config there is, the most of three."""
    path = tmp_path_factory.mktemp("baseline") / "config.yaml"
    path.write_text("databases: [{dsn: host=h}]")
    runs = [check(path) for _ in range(3)]
    assert {code for code, *_ in runs} == {0}, runs
    return min(cpu for *_, cpu, _ in runs), max(memory for *_, memory in runs)


def listed(head: str, item: str, values: int, tail: str = "]") -> str:
    """As many items as the number of values allows that a file may have; # becomes a number."""
    items = (item.replace("#", str(number)) for number in range(VALUES // values))
    return head + ", ".join(items) + tail


# Those that are refused for their size alone would be cheap; these get as far as possible.
HOSTILE: dict[str, str | bytes] = {
    "a hundred megabytes": b"a" * 100_000_000,
    "one scalar": "mode: " + "x" * LIMIT,
    "deep lists": "a: " + "[" * LIMIT,
    "databases": listed("databases: [", "{name: n#, dsn: host}", 3),
    "databases without anything": listed("databases: [", "{}", 1),
    "policies": listed("policies: [", "{name: n#}", 2),
    "policies without anything": listed("policies: [", "{}", 1),
    "misspelt keys": listed("policies: [", "{nmae: x, leveles: 1}", 3),
    "unknown keys": listed("databases: [{", "k#: 1", 1, "}]"),
    "wrong durations": listed("policies: [", "{name: a, clear: {for: 5x}}", 4),
    "steps": listed("policies: [{name: b, remediate: {steps: [", "{terminate_idle: {}}", 2, "]}}]"),
    "hosts": "databases: [{password: 5, dsn: 'postgresql://" + "h," * (LIMIT // 2 - 40) + "h:x/d'}]",
    "variables": "mode: '" + "${SECRET}" * (LIMIT // 9) + "'",
    "aliases": "a: &a [x]\n" + "\n".join(f"{c}: &{c} [{', '.join(['*a'] * 100)}]" for c in "bcdefgh"),
}


def judge(path: Path, data: str | bytes, baseline: tuple[float, int]) -> tuple[float, int]:
    """Check one file; what it cost more than the smallest config."""
    path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
    code, said, cpu, memory = check(path)
    assert code == 78, said[-2000:]
    lines = said.splitlines()
    assert 0 < len(lines) <= 101
    assert all(line.startswith("remediator: ") for line in lines), said[-2000:]
    assert all(line.isprintable() and len(line) < 700 for line in lines)
    assert SECRET not in said
    return cpu - baseline[0], memory - baseline[1]


def test_a_hostile_file_is_refused_at_little_cost(
    tmp_path: Path, baseline: tuple[float, int], figure: Figure
) -> None:
    """By the real program, from its start to its end.

    Given files made to cost as much as possible,
    When the program reads each of them,
    Then it says what is wrong, line by line, with exit code 78, and takes at most a second of CPU and 100 MB
    more than it takes for the smallest config.
    """
    costs = {name: judge(tmp_path / "config.yaml", data, baseline) for name, data in HOSTILE.items()}
    slowest = max(costs, key=lambda name: costs[name][0])
    largest = max(costs, key=lambda name: costs[name][1])
    figure("most CPU", f"{costs[slowest][0]:.2f} s ({slowest})")
    figure("most memory", f"{costs[largest][1] / 1e6:.0f} MB ({largest})")
    assert costs[slowest][0] <= CPU, slowest
    assert costs[largest][1] <= MEMORY, largest
