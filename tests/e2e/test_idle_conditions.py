"""Sessions never used, and those idle in a transaction, raise a level: real ones, from config to replay."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.testbed.daemon import Daemon, merged
from tests.testbed.sessions import open_idle

NEVER_USED = {"older_than": "200ms", "count": 5}
IN_TRANSACTION = {"older_than": "200ms", "count": "15%"}  # of 37 slots that is 6
ALERT = {
    "levels": {
        "monitor": {"utilization": "60%"},
        "alert": {"utilization": "70%", "never_used": NEVER_USED, "idle_in_transaction": IN_TRANSACTION},
    }
}
ONLY_ACTIONS = ("action_intended", "action_finished", "incident_opened")


@contextmanager
def unused(dsn: str, n: int) -> Iterator[None]:
    """Hold sessions open that never run a statement, as children do that inherit what their parent opened."""
    with ExitStack() as stack:
        for _ in range(n):
            stack.callback(psycopg.connect(dsn, application_name="prefork", autocommit=True).close)
        yield


def holding(kind: str, app: str, n: int) -> Any:
    """Sessions of the kind that a condition is about."""
    return unused(app, n) if kind == "never_used" else open_idle(app, n, in_transaction=True)


TOLD = {
    "never_used": "5 sessions never used and idle for 0.2s or longer, at least 5",
    "idle_in_transaction": (
        "6 sessions idle in a transaction for 0.2s or longer, at least 6 (15% of the usable slots)"
    ),
}


def replayed(daemon: Daemon, config: Path) -> list[str]:
    """The levels that a replay of what was recorded comes to, in order."""
    command = [sys.executable, "-m", "remediator", "replay", "--config", str(daemon.config_file)]
    done = subprocess.run(
        [*command, "--policy", str(config), "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    moments = json.loads(done.stdout)["moments"]
    return [s["text"] for m in moments for s in m["now"] if s["kind"] == "level"]


def test_check_says_where_the_slots_are_before_anything_counts_as_leaked(
    app: str, watch: str, tmp_path: Path
) -> None:
    """Given a server full of young transactions that nobody ends, and nobody busy: it is no riddle."""
    policy = {"remediate": {"steps": [{"terminate_idle": {"older_than": "10m"}}]}}
    daemon = Daemon(tmp_path, watch, policy=policy)
    with open_idle(app, 28, in_transaction=True), open_idle(app, 2):
        record = json.loads(daemon.run("check").stdout)
    assert record["diagnosis"]["kind"] == "unclear"
    told = str(record["diagnosis"]["text"])
    assert re.match(r"0 of \d+ sessions idle for 1m or longer", told)
    assert "not yet for 1m: 28 idle in a transaction, 2 idle" in told


@pytest.mark.parametrize(("kind", "enough"), [("never_used", 5), ("idle_in_transaction", 6)])
def test_the_level_rises_and_falls_with_them(
    kind: str, enough: int, app: str, watch: str, tmp_path: Path
) -> None:
    """Given one session too few, when another one joins, then the level rises, says why, and does nothing."""
    daemon = Daemon(tmp_path, watch, policy=ALERT)
    with holding(kind, app, enough - 1):
        with daemon:
            assert {cycle["level"] for cycle in daemon.wait_cycles(4)} == {"normal"}
            with holding(kind, app, 1):
                told = daemon.wait_for("level_changed", level="alert")
                looked = daemon.run("check")
                daemon.wait_cycles(2, level="alert")
            daemon.wait_for("level_changed", level="normal", previous="alert")
        assert TOLD[kind] in told["because"]
        assert not [line for event in ONLY_ACTIONS for line in daemon.said(event)]
    record = json.loads(looked.stdout)
    assert (looked.returncode, record["level"]) == (1, "alert")
    assert TOLD[kind] in record["because"]
    (condition,) = [c for c in record["conditions"] if c["condition"] == kind and c["level"] == "alert"]
    assert condition["evidence"] == "breach"
    assert replayed(daemon, daemon.config_file)[:2] == [
        "level alert, was normal",
        "level normal, was alert",
    ]
    other = tmp_path / "other.yaml"
    policy = merged(daemon.config["policies"][0], {"levels": {"alert": {kind: 30}}})
    other.write_text(json.dumps(daemon.config | {"policies": [policy]}))
    other.chmod(0o600)
    assert replayed(daemon, other) == []
