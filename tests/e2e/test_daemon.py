"""The real daemon on a real PostgreSQL, with services that really leak."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes, wait_for_sessions
from tests.testbed.postgres import PostgresServer
from tests.testbed.sessions import open_idle

USABLE = 37
UNTIL = USABLE // 2


def used(server: PostgresServer) -> int:
    """Client sessions, the one that asks left out."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    count: int = server.rows(query)[0][0]
    return count


def test_it_heals_a_leak_and_restarts_only_what_is_needed(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """Terminating does not help, restarting the leaking service does; the one after it is left alone."""
    worker = LeakingService("worker", tmp_path / "worker", app)
    api = LeakingService("api", tmp_path / "api", app, every=0.2, limit=3, heals_after=None)
    with Daemon(tmp_path / "daemon", watch, worker, api, policy=ladder("worker", "api")) as daemon:
        daemon.wait_for("incident_relieved")
        daemon.wait_for("incident_closed")
        assert (worker.restarts, api.restarts) == (1, 0)
        assert worker.running
        assert used(server) <= UNTIL
        done = outcomes(daemon.entries())
        assert ("worker", "confirmed") in done
        assert ("terminate", "confirmed") in done
        assert {result for _, result in done} <= {"confirmed", "changed", "dropped"}
        told = [line["event"] for line in daemon.events()]
        wanted = [
            *("daemon_started", "level_changed", "incident_opened", "action_intended", "action_finished"),
            *("step_settling", "incident_relieved", "incident_closed"),
        ]
        assert [name for name in dict.fromkeys(told) if name in wanted] == wanted
        (identity,) = {line["incident"] for line in daemon.said("action_finished")}
        assert daemon.said("incident_closed")[0]["incident"] == identity
        assert daemon.terminate() == 0
        assert daemon.said("daemon_stopping")[0]["because"] == "SIGTERM"
        assert daemon.errors == ""


def test_what_terminating_relieves_costs_no_restart(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """The oldest idle sessions go, a transaction's does not, and services run on."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    with (  # all of them before the daemon: one that comes after relief would count against it
        open_idle(app, 1, application_name="working", in_transaction=True) as working,
        open_idle(app, 33, application_name="leaky") as leaked,
        Daemon(tmp_path / "daemon", watch, worker, policy=ladder("worker")) as daemon,
    ):
        daemon.wait_for("incident_relieved")
        alive = server.alive(leaked)
        assert leaked[-len(alive) :] == sorted(alive, key=leaked.index)  # the youngest
        assert server.alive(working) == set(working)
        assert worker.restarts == 0
        assert used(server) <= UNTIL


def test_a_dry_run_changes_nothing(server: PostgresServer, app: str, watch: str, tmp_path: Path) -> None:
    """No session, no service, no file outside its state directory; and it says what it would do."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    daemon = Daemon(tmp_path / "daemon", watch, worker, mode="dry-run", policy=ladder("worker"))
    with open_idle(app, 34) as leaked:
        worker.start()
        query = "SELECT pid, backend_start FROM pg_stat_activity WHERE usename = 'app' ORDER BY pid"
        sessions = server.rows(query)
        pid = (worker.directory / "pid").read_text()
        files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if daemon.state_dir not in p.parents}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "start", lambda: None)
            with daemon:
                daemon.wait_for("incident_relieved")
                planned = [entry["action"]["session"]["pid"] for entry in daemon.entries()]
                assert {line["outcome"] for line in daemon.said("action_finished")} == {"simulated"}
                assert server.rows(query) == sessions
                assert (worker.directory / "pid").read_text() == pid
                assert worker.restarts == 0
                changed = {
                    p
                    for p in tmp_path.rglob("*")
                    if daemon.state_dir not in p.parents
                    and p.is_file()
                    and p.stat().st_mtime_ns != files.get(p)
                }
                assert {p.name for p in changed} == {"out.log", "err.log"}
        assert planned == leaked[: len(planned)]
        assert len(planned) == 34 + 1 - UNTIL  # our own session counts too

        enforcing = Daemon(tmp_path / "enforcing", watch, mode="enforce", policy=ladder())
        with enforcing:
            enforcing.wait_for("incident_relieved")
        assert [entry["action"]["session"]["pid"] for entry in enforcing.entries()] == planned


def test_pause_resume_and_ack_steer_a_running_daemon(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """Paused it only watches; resumed it acts; a service that did not come back waits for `ack`."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0, heals_after=None)
    worker.crashes_after, worker.steady_for = 0.2, "3s"  # a busy machine is slow to crash it
    policy = ladder("worker", terminate=False)
    policy["limits"] = {"restart": {"per_service": "9 per 1h", "per_day": 9}}
    policy["remediate"]["retry"] = "500ms"
    with Daemon(tmp_path / "daemon", watch, worker, policy=policy) as daemon:
        assert daemon.run("pause", "--for", "1h", "--reason", "I am on it").returncode == 0
        worker.stop()
        worker.limit = 1000
        worker.configure()
        worker.start()
        wait_for_sessions(server, "worker", 34)
        daemon.wait_for("plan_made", objections=["paused"])
        daemon.wait_cycles(5)
        assert "I am on it" in daemon.said("plan_made")[-1]["detail"]
        assert worker.restarts == 0
        history = daemon.run("history", "--format", "text").stdout
        assert "paused until" in history
        shown = daemon.run("history", "show", "last", "--format", "text").stdout
        assert re.search(r"^ +phase +held by a pause until ", shown, re.MULTILINE)
        assert re.search(r"  open for [^,]+, held by a pause until 2\d{3}-\S+ \S+ UTC\n", history)

        assert daemon.run("resume").stdout == "resumed\n"
        daemon.wait_for("locked", scope="service:worker")
        assert daemon.run("resume").stdout == "was not paused\n"
        worker.crashes_after = 0
        worker.configure()
        worker.start()
        wait_for_sessions(server, "worker", 34)
        daemon.wait_cycles(8)
        assert worker.restarts == 1
        history = daemon.run("history", "--format", "text").stdout
        assert "locked service:worker" in history
        assert "restart worker: refuted" in history

        acknowledged = daemon.run("ack")
        assert acknowledged.stdout.startswith("unlocked service:worker: worker was restarted: ")
        daemon.wait(lambda: worker.restarts == 2, "the restart after the acknowledgement")
        assert daemon.run("ack").stdout == "nothing was locked (enforce)\n"


def test_health_follows_the_cycles(watch: str, tmp_path: Path) -> None:
    """Missing before the first cycle, fresh while they go on, stale when they stop."""
    daemon = Daemon(tmp_path, watch)
    before = daemon.run("health")
    assert (before.returncode, before.stdout.split(",")[0].split(":")[0].strip()) == (1, "missing")
    assert "no cycle was completed yet" in before.stdout
    with daemon:
        fresh = daemon.run("health")
        assert (fresh.returncode, fresh.stdout.split(",")[0]) == (0, "fresh")
        assert "last cycle" in fresh.stdout
        daemon.kill()
        heartbeat = daemon.state_dir / "heartbeat"
        day_ago = time.time() - 86400
        os.utime(heartbeat, (day_ago, day_ago))
        stale = daemon.run("health")
        assert (stale.returncode, stale.stdout.split(",")[0]) == (1, "stale")


def test_once_on_a_calm_database_ends_at_once(watch: str, tmp_path: Path) -> None:
    """One cycle, nothing done, exit 0."""
    daemon = Daemon(tmp_path, watch)
    done = daemon.run("run", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    said = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert said[0] == "daemon_started"
    assert said[-1] == "cycle"
    assert daemon.history() == []


def test_once_on_a_full_database_waits_for_confirmation_and_verifies(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """Critical is confirmed, the sessions go, and their end is in the ledger when it exits."""
    daemon = Daemon(tmp_path, watch)
    with open_idle(app, 34) as leaked:
        time.sleep(0.4)  # idle for long enough to be terminated by the first plan
        done = daemon.run("run", "--once")
        assert (done.returncode, done.stderr) == (0, "")
        assert len(server.alive(leaked)) + 1 <= UNTIL
    entries = daemon.entries()
    assert {result for _, result in outcomes(entries)} == {"confirmed"}
    assert len(entries) == len(leaked) + 1 - UNTIL


def test_once_confirms_anew_when_an_incident_is_open(app: str, watch: str, tmp_path: Path) -> None:
    """Critical still, or again: it stays until that has lasted, then decides."""
    daemon = Daemon(tmp_path, watch)
    with open_idle(app, 34):
        time.sleep(0.4)
        assert daemon.run("run", "--once").returncode == 0
    with open_idle(app, 34):
        done = daemon.run("run", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    planned = [line["objections"] for line in said if line["event"] == "plan_made"]
    assert ["unconfirmed"] in planned
    assert planned[-1] != ["unconfirmed"]
    assert len(daemon.history()) == 1


def test_once_waits_for_a_restart_to_be_verified(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """The service is back and steady when the command ends; in a dry run nothing is restarted."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=33, heals_after=1, takes=0.5)
    simulating = Daemon(
        tmp_path / "dry", watch, worker, mode="dry-run", policy=ladder("worker", terminate=False)
    )
    daemon = Daemon(tmp_path / "daemon", watch, worker, policy=ladder("worker", terminate=False))
    try:
        worker.start()
        wait_for_sessions(server, "worker", 33)
        assert simulating.run("run", "--once").returncode == 0
        assert outcomes(simulating.entries()) == [("worker", "simulated")]
        assert worker.restarts == 0
        assert daemon.run("run", "--once").returncode == 0
        assert outcomes(daemon.entries()) == [("worker", "confirmed")]
        assert (worker.restarts, worker.finished, worker.running) == (1, 1, True)
    finally:
        worker.stop()


def test_once_says_so_when_the_ledger_cannot_be_used(watch: str, tmp_path: Path) -> None:
    """Nothing can be decided without it; whoever runs this by a timer must see that in the exit code."""
    daemon = Daemon(tmp_path, watch)
    (daemon.state_dir / "ledger.db").write_bytes(b"not a ledger" * 100)
    done = daemon.run("run", "--once")
    assert done.returncode == 74
    assert str(daemon.state_dir / "ledger.db") in done.stderr
    assert (daemon.state_dir / "ledger.db").read_bytes() == b"not a ledger" * 100


def test_once_without_a_database_ends_too(tmp_path: Path) -> None:
    """Unknown is not a reason to wait, nor an error of ours."""
    daemon = Daemon(tmp_path, "postgresql://nobody@127.0.0.1:9/none")
    done = daemon.run("run", "--once")
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events] == ["daemon_started", "evidence_lost", "cycle"]
