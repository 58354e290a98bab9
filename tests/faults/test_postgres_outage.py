"""PostgreSQL stops, crashes, freezes: it is noticed and waited for, and never a reason to act."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes
from tests.testbed.elapsed import Stopwatch
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import MakePostgres
    from tests.faults.conftest import Figure
    from tests.testbed.postgres import PostgresServer

OWN = "SELECT pid FROM pg_stat_activity WHERE usename = 'remediator'"
DOWN_FOR = 4.0
SLACK = 20.0
DEADLINES = 1.0 + 1.0  # of a query and of a connect, in the daemon's config


@pytest.fixture
def server(make_postgres: MakePostgres) -> PostgresServer:
    """A small server of the test's own."""
    return make_postgres(16, max_connections=40)


def kill_a_backend(server: PostgresServer) -> None:
    """Make the server end every session and recover, as it does after any crash of one process."""
    with server.superuser() as connection:
        victim = connection.info.backend_pid
        os.kill(victim, signal.SIGKILL)
    # The superuser's connection finds out by itself, which its context manager takes without a word.


def stay_down(server: PostgresServer) -> None:
    """Stop, stay away for a while, come back."""
    server.stop("fast")
    time.sleep(DOWN_FOR)
    server.start()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda server: server.restart("immediate"), id="crashed"),
        pytest.param(kill_a_backend, id="backend-killed"),
        pytest.param(stay_down, id="down-for-long"),
    ],
)
def test_down_is_not_full(
    fault: Callable[[PostgresServer], None], server: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    """A server that is critical goes down before that is confirmed.

    Given a server with 34 of 37 slots used, which is critical, and a service that would be restarted
    When it goes down and comes back
    Then the state is unknown meanwhile, the service runs on, nothing is done, and it is watched again.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    policy = {**ladder("worker"), "levels": {"critical": {"for": "1h"}}}
    with Daemon(tmp_path / "daemon", watch, worker, policy=policy) as daemon:
        with open_idle(app, 34):
            daemon.wait_for("level_pending", level="critical")
            begun = Stopwatch()
            fault(server)
            back = begun.seconds
            daemon.wait_for("evidence_regained", within=SLACK * 2)
            regained = begun.seconds
        lost = daemon.said("evidence_lost")
        daemon.wait_cycles(3, unknown=False)
        # The postmaster itself survives a crash of one of its processes.
        assert bool(daemon.said("server_restarted")) is (fault is not kill_a_backend)
        assert not daemon.said("server_changed")
        assert not daemon.said("cycle_failed")
        assert daemon.entries() == []
        assert worker.restarts == 0
        assert {line["trouble"] for line in daemon.said("cycle", unknown=True)} <= {
            *("unreachable", "shutting_down", "starting_up", "moved"),
        }
        figure("told as unknown", f"{len(lost)} time(s)")
        figure("watched again after the server was back", f"{max(0.0, regained - back):.1f} s")
        figure("actions taken", str(len(daemon.entries()) + worker.restarts))


def test_a_server_that_freezes_in_the_middle_of_a_remediation(
    server: PostgresServer, make_postgres: MakePostgres, tmp_path: Path, figure: Figure
) -> None:
    """Half-way up the ladder nothing answers any more.

    Given a database whose first service is being restarted, and another one beside it
    When the postmaster and our backend are frozen
    Then its cycles end at their deadline and nothing more is done, the other one's go on,
    and after the thaw the ladder is climbed on.
    """
    other = make_postgres(16, max_connections=40)
    app = create_app_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=34, heals_after=None, takes=1.5)
    second = LeakingService("second", tmp_path / "second", app, limit=0)
    dsns = {"shop": create_watch_role(server), "other": create_watch_role(other)}
    policy = ladder("worker", "second", terminate=False)
    with Daemon(tmp_path / "daemon", dsns, worker, second, policy=policy) as daemon:
        daemon.wait_for("action_intended", service="worker")
        own = [pid for (pid,) in server.rows(OWN)]
        frozen = Stopwatch()
        server.freeze()
        for pid in own:
            server.freeze_backend(pid)
        daemon.wait_for("evidence_lost", database="shop")
        figure("noticed after", str(frozen))
        before = len(daemon.said("cycle", database="other"))
        slow = daemon.wait_cycles(4, database="shop", unknown=True)
        beside = len(daemon.said("cycle", database="other")) - before
        assert second.restarts == 0
        assert max(line["seconds"] for line in slow) < DEADLINES + SLACK
        assert beside > len(slow)
        figure("longest cycle while frozen", f"{max(line['seconds'] for line in slow):.1f} s")
        figure("cycles meanwhile", f"{len(slow)}, of the other database {beside}")
        server.thaw()
        daemon.wait_for("evidence_regained", database="shop")
        daemon.wait(lambda: second.restarts == 1, "the next step")
        daemon.wait(lambda: len(daemon.said("action_finished")) >= 2, "both outcomes")
        assert worker.restarts == 1
        told = outcomes(daemon.entries())
        assert [service for service, _ in told] == ["worker", "second"]
        assert not daemon.said("cycle_failed")


def test_our_backend_alone_is_frozen(server: PostgresServer, tmp_path: Path, figure: Figure) -> None:
    """The server is well, only our session hangs.

    Given a healthy database that is watched
    When our backend is frozen
    Then the cycle ends at its deadline and another session takes its place, without any action.
    """
    with Daemon(tmp_path, create_watch_role(server), policy=ladder()) as daemon:
        server_has = dict.fromkeys(pid for (pid,) in server.rows(OWN))
        frozen = Stopwatch()
        for pid in server_has:
            server.freeze_backend(pid)
        daemon.wait_for("evidence_lost")
        figure("noticed after", str(frozen))
        daemon.wait_for("evidence_regained")
        figure("watched again after", str(frozen))
        assert daemon.said("cycle", trouble="timeout")
        assert max(line["seconds"] for line in daemon.said("cycle")) < DEADLINES + SLACK
        daemon.wait_cycles(3, unknown=False)
        server.thaw()
        assert daemon.entries() == []
        assert not daemon.said("server_changed")
