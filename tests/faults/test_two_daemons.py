"""Two daemons with state directories of their own watch one database: exactly one acts at any time."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.faults.conftest import Figure
from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes, wait_for_sessions
from tests.testbed.faulty_daemon import FaultyDaemon
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

_LOCK = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND classid = 1919772004 AND objid = 1 AND objsubid = 2"
)


def _end_session_of_leader(server: PostgresServer) -> None:
    """What a network that is cut, a failover or a person does to the session that holds the lock."""
    (pid,) = (pid for (pid,) in server.rows(_LOCK))
    server.rows("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
    wait_until(lambda: (pid,) not in server.rows(_LOCK), what="the lock to be free")


def test_one_acts_and_the_other_takes_over(server: PostgresServer, tmp_path: Path, figure: Figure) -> None:
    """Given two daemons, when the database is full, then one acts; when that one is gone, the other does."""
    app, watch = create_app_role(server), create_watch_role(server)
    one = Daemon(tmp_path / "one", watch, policy=ladder())
    two = Daemon(tmp_path / "two", watch, policy=ladder())
    with one, two:
        two.wait_for("standing_by")
        with open_idle(app, 34):
            one.wait_for("incident_relieved")
            two.wait(lambda: bool(two.said("incident_closed")) or not two.said("incident_opened"), "calm")
        assert {result for _, result in outcomes(one.entries())} == {"confirmed"}
        assert two.entries() == []
        assert not two.said("incident_held")
        one.wait_for("incident_closed")
        two.wait_cycles(1, level="normal")

        one.kill()
        gone = time.monotonic()
        two.wait_for("taking_over")
        figure("taken over after kill -9", f"{time.monotonic() - gone:.1f} s")
        one.start()
        one.wait_for("standing_by")
        with open_idle(app, 34) as leaked:
            two.wait_for("action_finished", outcome="confirmed")
            two.wait(lambda: len(server.alive(leaked)) < 20, "relief")
        assert {result for _, result in outcomes(two.entries())} == {"confirmed"}
        assert not one.said("cycle_failed")
        assert not two.said("cycle_failed")


@pytest.mark.parametrize("step", ["restart", "terminate"])
def test_one_is_suspended_in_the_middle_of_acting(step: str, server: PostgresServer, tmp_path: Path) -> None:
    """Given a leader frozen between intent and act, when another took over, then on waking it stands by."""
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, takes=0.3)
    policy = ladder("worker", terminate=step == "terminate")
    if step == "terminate":
        policy["limits"] = {"terminate": {"per_step": "20%"}}
    one = FaultyDaemon(tmp_path / "one", watch, policy=policy, config={"services": [worker.config]})
    two = Daemon(tmp_path / "two", watch, policy=policy, config={"services": [worker.config]})
    try:
        one.begin("after_intend:stop")
        one.wait(lambda: bool(one.said("cycle")), "its first cycle")
        two.start()
        two.wait_for("standing_by")
        worker.start()
        wait_until(lambda: _is_stopped(one.pid), what="the leader to freeze")
        wait_for_sessions(server, "worker", 30)
        two.wait_for("incident_opened")
        two.wait_cycles(5)
        assert two.entries() == []
        assert worker.restarts == 0

        _end_session_of_leader(server)
        two.wait_for("taking_over")
        two.wait_for("action_finished", outcome="confirmed")
        one.signal(signal.SIGCONT)
        one.wait_for("standing_by")
        one.wait(lambda: all(e["outcome"] for e in one.entries()), "outcomes of what it had begun")
        two.wait_for("incident_closed", within=60)
        one.wait_cycles(5)
        assert worker.restarts == 1
        confirmed = {r for what, r in outcomes(one.entries()) if r == "confirmed" and what == "worker"}
        assert not confirmed
        assert not one.said("cycle_failed")
        assert not two.said("cycle_failed")
    finally:
        for daemon in (one, two):
            daemon.signal(signal.SIGCONT) if daemon.running else None
            daemon.kill()
        worker.stop()


def _is_stopped(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def test_a_dry_run_leaves_the_right_to_act_alone(server: PostgresServer, tmp_path: Path) -> None:
    """Given a dry run that was there first, when another daemon enforces, then that one acts at once."""
    app, watch = create_app_role(server), create_watch_role(server)
    with (
        Daemon(tmp_path / "dry", watch, mode="dry-run", policy=ladder()) as dry,
        Daemon(tmp_path / "wet", watch, policy=ladder()) as wet,
    ):
        assert len(server.rows(_LOCK)) == 1
        with open_idle(app, 34) as leaked:
            wet.wait_for("incident_relieved")
            assert len(server.alive(leaked)) < 20
        assert not dry.said("standing_by")
        assert not wet.said("standing_by")


def test_somebody_takes_the_right_to_act(server: PostgresServer, tmp_path: Path) -> None:
    """Given a client that has taken the lock, then who it is is told, and once it is ended remediator acts.

    Anybody who may connect to the database can take it.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    with closing(psycopg.connect(app, application_name="stranger", autocommit=True)) as stranger:
        stranger.execute("SELECT pg_advisory_lock(1919772004, 1)")
        pid = stranger.info.backend_pid
        with Daemon(tmp_path / "one", watch, policy=ladder()) as daemon:
            told = daemon.wait_for("standing_by", pid=pid)
            assert (told["user"], told["application"], told["address"]) == ("app", "stranger", "127.0.0.1")
            assert f"session {pid} (role app, application stranger, from 127.0.0.1" in told["because"]
            who = f"session {pid} (role app, application stranger, from 127.0.0.1"
            assert who in daemon.run("check", "--format", "text").stdout
            assert json.loads(daemon.run("check", "--format", "json").stdout)["right_to_act"]["pid"] == pid
            daemon.wait_cycles(1)
            assert "standing by for shop" in daemon.run("health").stdout
            with open_idle(app, 34) as leaked:
                plan = daemon.wait_for("plan_made", objections=["another_acts"])
                assert who in plan["detail"]
                assert len(server.alive(leaked)) == 34
                server.rows("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
                daemon.wait_for("taking_over")
                daemon.wait_for("action_finished", outcome="confirmed")
            assert "standing by" not in daemon.run("health").stdout
            assert daemon.terminate() == 0
