"""Neighbours that fail under a running daemon: it says so, does nothing wrong, and recovers by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakePostgres
from tests.testbed import disks
from tests.testbed.daemon import Daemon, LeakingService, ended, ladder, outcomes, wait_for_sessions
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

OWN = "SELECT pid FROM pg_stat_activity WHERE usename = 'remediator' AND application_name = 'remediator'"


@pytest.fixture
def server(make_postgres: MakePostgres) -> PostgresServer:
    """A small server of the test's own."""
    return make_postgres(16, max_connections=40)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB; it is unmounted with the test."""
    with disks.small_disk(tmp_path / "disk", "400k") as where:
        yield where


def terminate_own_session(server: PostgresServer) -> None:
    """End the daemon's long-lived session."""
    server.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = 'remediator' AND backend_start = (SELECT min(backend_start)"
        " FROM pg_stat_activity WHERE usename = 'remediator')"
    )


def test_a_database_that_is_down_restarts_nothing_and_is_found_again(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Stopped, crashed, back, our session terminated: unknown or calm, never a reason to act."""
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=3)
    with Daemon(tmp_path / "daemon", watch, worker, policy=ladder("worker")) as daemon:
        server.stop("fast")
        lost = daemon.wait_for("evidence_lost")
        assert lost["because"]
        cycles = daemon.wait_cycles(5, unknown=True)
        assert {line["trouble"] for line in cycles} <= {"unreachable", "shutting_down", "starting_up"}
        server.start()
        daemon.wait_for("evidence_regained")

        server.restart("immediate")
        daemon.wait_for("evidence_regained", times=2)

        before = len(daemon.said("evidence_lost"))
        terminate_own_session(server)
        daemon.wait(lambda: bool(server.rows(OWN)), "another session of ours")
        daemon.wait_cycles(3, unknown=False)
        assert len(daemon.said("evidence_lost")) <= before + 1
        assert worker.restarts == 0
        assert daemon.entries() == []
        assert not daemon.said("cycle_failed")
        assert daemon.terminate() == 0


def test_a_database_that_goes_down_in_the_middle_of_an_incident(
    server: PostgresServer, tmp_path: Path
) -> None:
    """The ladder stands still while nothing is known, and the incident is over when the server is back."""
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    policy = ladder("worker")
    policy["remediate"]["settle"] = "2s"
    with Daemon(tmp_path / "daemon", watch, worker, policy=policy) as daemon:
        with open_idle(app, 34, in_transaction=True):
            daemon.wait_for("incident_opened")
            server.stop("immediate")
            daemon.wait_for("evidence_lost")
            time.sleep(2.5)
        restarts = worker.restarts
        daemon.wait_cycles(3, unknown=True)
        assert worker.restarts == restarts
        server.start()
        daemon.wait_for("evidence_regained")
        daemon.wait_for("incident_closed")
        # A restart that was intended when the server went is not sent: it could not be asked any more.
        assert {result for _, result in outcomes(daemon.entries())} <= {"confirmed", "changed", "dropped"}
        assert worker.restarts == outcomes(daemon.entries()).count(("worker", "confirmed"))


def test_a_frozen_server_holds_up_neither_its_cycles_nor_another_database(
    server: PostgresServer, make_postgres: MakePostgres, tmp_path: Path
) -> None:
    """Postmaster and backends stopped in their tracks: cycles end at their deadline, the others run on."""
    other = make_postgres(16, max_connections=40)
    dsns = {"frozen": create_watch_role(server), "other": create_watch_role(other)}
    app = create_app_role(other)
    with Daemon(tmp_path, dsns, policy=ladder()) as daemon:
        daemon.wait_cycles(2, database="frozen")
        for (pid,) in server.rows(OWN):
            server.freeze_backend(pid)
        server.freeze()
        daemon.wait_for("evidence_lost", database="frozen")
        with open_idle(app, 34):
            daemon.wait_for("incident_relieved", database="other")
        frozen = daemon.wait_cycles(3, database="frozen", unknown=True)
        assert max(line["seconds"] for line in frozen) < 10
        assert all(line["trouble"] in {"timeout", "unreachable"} for line in frozen)
        others = daemon.wait_cycles(10, database="other")
        assert max(line["seconds"] for line in others) < 2
        server.thaw()
        daemon.wait_for("evidence_regained", database="frozen")
        assert {entry["database"] for entry in daemon.entries()} == {"other"}
        assert not daemon.said("cycle_failed")


def test_a_server_that_is_full_at_start_is_relieved_through_a_reserved_slot(
    make_postgres: MakePostgres, tmp_path: Path
) -> None:
    """On PostgreSQL 16 a slot can be kept for us; refused clients are critical, and their sessions go."""
    server = make_postgres(16, max_connections=30, reserved_connections=2)
    app, watch = create_app_role(server), create_watch_role(server, reserved=True)
    with open_idle(app, 25) as leaked:
        with pytest.raises(Exception, match="slots"), open_idle(app, 1):
            pass
        with Daemon(tmp_path, watch, policy=ladder()) as daemon:
            daemon.wait_for("incident_relieved")
            assert "refused" in daemon.said("incident_opened")[0]["because"]
            assert len(server.alive(leaked)) <= 12


def test_a_server_that_is_full_at_start_and_lets_us_not_in_gets_its_service_restarted(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Its sessions cannot be read, so that the step is left out, and said; the restart frees the slots."""
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app)
    worker.start()
    wait_for_sessions(server, "worker", 37)
    daemon = Daemon(tmp_path / "daemon", watch, worker, policy=ladder("worker"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "start", lambda: None)
        with daemon:
            daemon.wait_for("incident_relieved")
            opened = daemon.said("incident_opened")[0]
            assert "refused" in opened["because"]
            assert "used" not in opened
            assert daemon.said("plan_made")[0]["steps"][0]["objections"] == ["unreadable"]
            assert worker.restarts == 1
            assert ("worker", "confirmed") in outcomes(daemon.entries())


def test_rights_revoked_while_running(server: PostgresServer, tmp_path: Path) -> None:
    """Without pg_signal_backend it holds; without pg_read_all_stats it knows nothing; given back, it acts."""
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    with Daemon(tmp_path / "daemon", watch, worker, policy=ladder()) as daemon:
        server.rows("REVOKE pg_signal_backend FROM remediator")
        daemon.wait_for("may_not_signal")
        with open_idle(app, 34) as leaked:
            daemon.wait_for("incident_held")
            assert "pg_signal_backend" in daemon.said("incident_held")[0]["because"]
            assert server.alive(leaked) == set(leaked)

            server.rows("REVOKE pg_read_all_stats FROM remediator")
            lost = daemon.wait_for("evidence_lost")
            assert "pg_read_all_stats" in lost["because"]
            server.rows("GRANT pg_signal_backend TO remediator")
            daemon.wait_cycles(8)
            assert server.alive(leaked) == set(leaked)
            assert daemon.entries() == []

            server.rows("GRANT pg_read_all_stats TO remediator")
            daemon.wait_for("evidence_regained")
            daemon.wait_for("incident_relieved")
            assert len(server.alive(leaked)) < 20


def test_a_full_state_directory_means_observing_only(
    server: PostgresServer, small_disk: Path, tmp_path: Path
) -> None:
    """What cannot be recorded is not done; with room again it goes on by itself."""
    app, watch = create_app_role(server), create_watch_role(server)
    config = {"state_dir": str(small_disk)}
    with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=config) as daemon:
        daemon.state_dir = small_disk
        ballast = disks.fill(small_disk)
        with open_idle(app, 34) as leaked:
            because = daemon.wait_for("ledger_unavailable")["because"]
            assert str(small_disk) in because
            daemon.wait_cycles(8)
            assert server.alive(leaked) == set(leaked)
            levels = [one["level"] for one in daemon.said("ledger_unavailable")]
            assert levels in (["critical"], [levels[0], "critical"]), "once, and once more when critical"
            ballast.unlink()
            daemon.wait_for("ledger_available")
            daemon.wait_for("incident_relieved")
            assert len(server.alive(leaked)) < 20
        assert {result for _, result in outcomes(daemon.entries())} == {"confirmed"}


def test_a_state_directory_taken_away_means_observing_only(server: PostgresServer, tmp_path: Path) -> None:
    """Somebody else may hold the lock that is there now: only another start makes sure."""
    app, watch = create_app_role(server), create_watch_role(server)
    with Daemon(tmp_path, watch, policy=ladder()) as daemon:
        daemon.state_dir.rename(tmp_path / "elsewhere")
        with open_idle(app, 34) as leaked:
            because = daemon.wait_for("ledger_unavailable")["because"]
            assert str(daemon.state_dir) in because
            daemon.wait_cycles(5)
            assert server.alive(leaked) == set(leaked)
            daemon.terminate()
            (tmp_path / "elsewhere").rename(daemon.state_dir)
            daemon.start()
            daemon.wait_for("incident_relieved")
            assert len(server.alive(leaked)) < 20


@pytest.mark.parametrize("reader", ["gone", "never there"])
def test_a_log_that_nobody_reads_stops_nothing(reader: str, server: PostgresServer, tmp_path: Path) -> None:
    """A closed pipe, or no standard output at all: the leak is healed, and the end is in order."""
    app, watch = create_app_role(server), create_watch_role(server)
    daemon = Daemon(tmp_path, watch, policy=ladder())
    argv = daemon.argv("run")
    if reader == "never there":
        argv = ["sh", "-c", 'exec "$@" >&-', "sh", *argv]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ.copy()
    )
    with ended(process):
        assert process.stdout is not None
        assert process.stderr is not None
        if reader == "gone":
            process.stdout.readline()
        process.stdout.close()
        wait_until(lambda: bool(server.rows(OWN)), what="the daemon's session")
        with open_idle(app, 34) as leaked:
            wait_until(lambda: len(server.alive(leaked)) < 20, what="relief")
            wait_until(
                lambda: {r for _, r in outcomes(daemon.entries())} == {"confirmed"},
                what="outcomes",
                every=0.3,
            )
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert process.stderr.read() == b""
        process.stderr.close()
