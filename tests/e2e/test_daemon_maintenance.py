"""Pauses, maintenance windows and databases that nobody can read, as the real daemon lives through them."""

from __future__ import annotations

import json
import re
import signal
from datetime import datetime
from pathlib import Path

from tests.conftest import MakePostgres
from tests.testbed.daemon import Daemon, LeakingService, ladder
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_watch_role
from tests.testbed.sessions import open_idle

ALWAYS = [{"cron": "* * * * *", "for": "1h", "timezone": "Europe/Berlin", "reason": "weekly deploy"}]


def instant(line: dict[str, str]) -> datetime:
    """When something was said."""
    return datetime.fromisoformat(line["at"])


def test_a_pause_ends_by_itself_and_outlives_a_crash(app: str, watch: str, tmp_path: Path) -> None:
    """Until the moment it named nothing is done, and it is shown; then all is done without a word from us."""
    daemon = Daemon(tmp_path, watch)
    long = _paused_until(daemon, "1h")
    with open_idle(app, 34), daemon:
        suspended = daemon.wait_for("incident_suspended")
        assert suspended["severity"] == "warning"
        assert "moving house" in suspended["because"]
        shown = daemon.run("history", "--format=text").stdout
        assert re.search(rf"paused until {long} UTC, (1h|59m \d+s) left: moving house", shown)
        planned = daemon.run("plan", "--format=text").stdout
        short = _paused_until(daemon, "12s", instead_of=long)
        daemon.kill()
        daemon.start()
        daemon.wait_for("incident_relieved", within=60)
        assert instant(daemon.said("action_intended")[0]) >= datetime.fromisoformat(f"{short}+00:00")
        assert not daemon.said("incident_held")
        assert "paused by an operator" in planned
        assert long in planned
        assert "paused" not in daemon.run("history", "--format=text").stdout


def _paused_until(daemon: Daemon, how_long: str, instead_of: str = "") -> str:
    """Pause, in place of a pause that there may be, which is said; what the command says of its end."""
    done = daemon.run("pause", "--for", how_long, "--reason", "moving house")
    found = re.match(r"paused until (\S+ \S+) UTC\n", done.stdout)
    assert found, done.stdout + done.stderr
    assert (f"takes the place of the pause until {instead_of} UTC, " in done.stdout) == bool(instead_of)
    return found[1]


def test_nothing_is_done_in_a_window_until_a_reload_takes_it_away(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """The daemon, `check`, `plan`, `history` and `doctor` all say so; sessions and service are left alone."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    daemon = Daemon(
        tmp_path / "daemon", watch, worker, policy=ladder("worker"), config={"maintenance": ALWAYS}
    )
    with daemon, open_idle(app, 34) as leaked:
        assert daemon.wait_for("maintenance_begun")["because"] == "weekly deploy"
        assert daemon.wait_for("incident_suspended")["severity"] == "warning"
        daemon.wait_for("plan_made", objections=["maintenance"])
        line = r"in a maintenance window until \S+ \S+ UTC: weekly deploy"
        assert re.search(line, daemon.run("check", "--format=text").stdout)
        assert (
            json.loads(daemon.run("check", "--format=json").stdout)["maintenance"]["reason"]
            == "weekly deploy"
        )
        assert "nothing would be done: in a maintenance window" in daemon.run("plan", "--format=text").stdout
        assert re.search(f"shop is {line}", daemon.run("history", "--format=text").stdout)
        assert "in force until" in daemon.run("doctor", "--format=text").stdout
        daemon.wait_cycles(5, level="critical")
        assert server.alive(leaked) == set(leaked)
        assert not daemon.said("action_intended")

        daemon.config["maintenance"] = []
        daemon.write_config()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("maintenance_over")
        daemon.wait_for("incident_relieved")
        assert not daemon.said("incident_held")
        assert worker.restarts == 0


def test_a_database_that_nobody_can_read_is_said_louder_while_the_daemon_is_well(
    make_postgres: MakePostgres, tmp_path: Path
) -> None:
    """`health` is about the daemon's own life: no restart of it would bring the server back."""
    server = make_postgres(16, max_connections=40)
    with Daemon(tmp_path, create_watch_role(server)) as daemon:
        server.stop()
        lost = daemon.wait_for("evidence_lost")
        overdue = daemon.wait_for("evidence_overdue")
        assert overdue["severity"] == "error"
        assert overdue["seconds"] >= 5 * 0.15
        assert instant(overdue) > instant(lost)
        daemon.wait_cycles(10, unknown=True)
        health = daemon.run("health")
        assert (health.returncode, health.stdout.split(",")[0]) == (0, "fresh")
        assert daemon.run("check", "--format=text").returncode == 3
        assert len(daemon.said("evidence_overdue")) == 1
        server.start()
        regained = daemon.wait_for("evidence_regained")
        assert regained["seconds"] >= overdue["seconds"]
        assert daemon.history() == []
