"""A service is asked what is wrong with it right before it is restarted; never in a dry run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.testbed.daemon import Daemon, LeakingService, ladder


def asked(worker: LeakingService, code: str) -> dict[str, Any]:
    """The config's part about the service, with a diagnostic in Python."""
    diagnose = {"run": [sys.executable, "-S", "-c", code], "within": "1s"}
    return {"services": [worker.config | {"diagnose": diagnose}]}


def test_what_it_says_is_part_of_the_incidents_story(app: str, watch: str, tmp_path: Path) -> None:
    """Given a diagnostic that talks and then hangs, the restart follows in time, and its words are kept."""
    worker = LeakingService("worker", tmp_path / "worker", app)
    mark = tmp_path / "asked"
    code = f"open({str(mark)!r}, 'a').write('x'); print('42 tasks active')"
    config = asked(worker, code)
    with Daemon(tmp_path / "d", watch, worker, policy=ladder("worker"), config=config) as daemon:
        daemon.wait_for("incident_closed")
        assert daemon.terminate() == 0
        assert worker.restarts == 1
        assert mark.read_text() == "x"
        record = json.loads(daemon.run("history", "show", "last", "--format", "json").stdout)
        (said,) = record["diagnostics"]
        assert (said["replica"], said["result"], said["output"]) == ("worker", "exit 0", "42 tasks active")
        text = daemon.run("history", "show", "last", "--format", "md").stdout
        assert "    42 tasks active" in text


def test_one_that_hangs_holds_up_the_restart_no_longer_than_agreed(
    app: str, watch: str, tmp_path: Path
) -> None:
    """Given a diagnostic that never ends, the leak is healed all the same."""
    worker = LeakingService("worker", tmp_path / "worker", app)
    config = asked(worker, "import time; time.sleep(600)")
    with Daemon(tmp_path / "d", watch, worker, policy=ladder("worker"), config=config) as daemon:
        daemon.wait_for("incident_closed")
        assert daemon.terminate() == 0
        assert worker.restarts == 1
        record = json.loads(daemon.run("history", "show", "last", "--format", "json").stdout)
        (said,) = record["diagnostics"]
        assert "did not end within 1s" in said["result"]
        assert said["seconds"] < 10


def test_a_pause_while_it_is_asked_is_kept(app: str, watch: str, tmp_path: Path) -> None:
    """Given an operator who sees the diagnostic run and says hands off, then the restart does not follow."""
    worker = LeakingService("worker", tmp_path / "worker", app)
    mark = tmp_path / "asked"
    code = f"open({str(mark)!r}, 'w').close(); import time; time.sleep(600)"
    diagnose = {"run": [sys.executable, "-S", "-c", code], "within": "15s"}
    config = {"services": [worker.config | {"diagnose": diagnose}]}
    steps = ladder("worker", terminate=False)
    with Daemon(tmp_path / "d", watch, worker, policy=steps, config=config) as daemon:
        daemon.wait(mark.exists, "the diagnostic")
        daemon.run("pause", "--reason", "I am on it")
        finished = daemon.wait_for("action_finished", action="restart")
        assert (finished["outcome"], worker.restarts) == ("dropped", 0)
        assert "I am on it" in finished["detail"]
        daemon.wait_cycles(3)
        assert worker.restarts == 0
        daemon.run("resume")
        daemon.wait_for("action_finished", action="restart", outcome="confirmed")
        assert worker.restarts == 1
        assert daemon.terminate() == 0


def test_nothing_is_asked_in_a_dry_run(app: str, watch: str, tmp_path: Path) -> None:
    """A program of the operator's may do more than look."""
    worker = LeakingService("worker", tmp_path / "worker", app)
    mark = tmp_path / "asked"
    config = asked(worker, f"open({str(mark)!r}, 'a').write('x')")
    steps = ladder("worker", terminate=False)
    with Daemon(tmp_path / "d", watch, worker, mode="dry-run", policy=steps, config=config) as daemon:
        daemon.wait_for("action_finished", action="restart", outcome="simulated")
        daemon.wait_cycles(3)
        assert daemon.terminate() == 0
    assert not mark.exists()
    assert worker.restarts == 0
