"""A server without a free slot: before we come, and by clients that are no sessions."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.testbed.daemon import Daemon, LeakingService, ladder
from tests.testbed.elapsed import Stopwatch
from tests.testbed.knocking import full_of_logins
from tests.testbed.roles import RESERVED_SINCE, create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakePostgres
    from tests.faults.conftest import Figure

SHOWS_LOGINS_SINCE = 18


def fill(app: str, stack: ExitStack) -> list[int]:
    """Hold idle sessions open until no ordinary client gets in any more."""
    leaked = stack.enter_context(open_idle(app, 15))

    def no_more() -> bool:
        try:
            leaked.extend(stack.enter_context(open_idle(app, 1)))
        except psycopg.OperationalError:
            return True
        return False

    wait_until(no_more, what="the server to be full")
    return leaked


@pytest.mark.parametrize("version", [16, 18])
def test_full_of_clients_that_never_log_in(
    version: int, make_postgres: MakePostgres, tmp_path: Path, figure: Figure
) -> None:
    """The slots are held by no session.

    Given a server with a few idle sessions, and a service that would be restarted
    When clients that never finish logging in take every other slot
    Then it is critical and a person is told, but no session is ended and no service restarted,
    and when they are gone all is well by itself.
    """
    server = make_postgres(version, max_connections=30, authentication_timeout="5min")
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    with (
        open_idle(app, 3) as innocent,
        Daemon(tmp_path / "d", watch, worker, policy=ladder("worker")) as daemon,
    ):
        filled = Stopwatch()
        with full_of_logins(server):
            held = daemon.wait_for("incident_held")
            figure("a person told after", str(filled))
            assert "logging in" in held["because"]
            assert "refused" in daemon.said("incident_opened")[0]["because"]
            lines = daemon.wait_cycles(15)
            seen = max(line["used"] for line in lines)
            assert (seen > len(innocent) + 10) is (version >= SHOWS_LOGINS_SINCE)
            assert len(daemon.said("incident_held")) < len(lines)
        daemon.wait_for("incident_closed")
        assert server.alive(innocent) == set(innocent)
        assert worker.restarts == 0
        assert daemon.entries() == []
        figure("sessions in the view at most", f"{seen} of {lines[0]['usable']}")
        figure("actions taken", str(worker.restarts))


def test_full_by_the_limit_of_its_database(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """The server has room, the one database has none.

    Given a database with a CONNECTION LIMIT, and a service that leaks into it
    When nobody gets in any more
    Then that is what the sessions there are about, and the service is restarted.
    """
    server = make_postgres(16, max_connections=40)
    app, watch = create_app_role(server), create_watch_role(server)
    server.rows("ALTER DATABASE postgres CONNECTION LIMIT 12")
    worker = LeakingService("worker", tmp_path / "worker", app)
    with Daemon(tmp_path / "d", watch, worker, policy=ladder("worker", terminate=False)) as daemon:
        daemon.wait_for("incident_relieved")
        assert worker.restarts == 1
        assert "refused" in daemon.said("incident_opened")[0]["because"]


def test_full_with_the_daemon_inside(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """A command is shut out where the daemon is not.

    Given a server without a slot kept for us, and a daemon that was connected before it was full
    When somebody asks how bad it is
    Then it is critical, and what the daemon reads meanwhile says who holds the slots.
    """
    server = make_postgres(15, max_connections=24)
    app, watch = create_app_role(server), create_watch_role(server, reserved=False)
    with Daemon(tmp_path, watch, policy=ladder(), mode="dry-run") as daemon, ExitStack() as stack:
        daemon.wait_cycles(2)
        leaked = fill(app, stack)

        def record() -> dict[str, Any]:
            looked = daemon.run("check")
            assert looked.returncode == 2, looked
            found: dict[str, Any] = json.loads(looked.stdout)
            assert found["slots"] is None
            return found

        wait_until(
            lambda: ((record()["recorded"] or {}).get("slots") or {}).get("free") == 0, what="the record"
        )
        recorded = record()["recorded"]
        assert recorded["level"] == "critical"
        counted = sum(group["count"] for group in recorded["sessions"] if group["application"] == "leaky")
        assert counted == len(leaked)
        said = daemon.run("check", "--format", "text").stdout
        assert "the daemon, which was connected before, read " in said
        assert "leaky" in said

        incident = daemon.wait_for("incident_opened")["incident"]
        planned = daemon.run("plan", "--format", "text").stdout
        assert f"incident {incident} is open since " in planned
        assert f"its own plan is in `remediator history show {incident}`\n" in planned

        server.stop()
        looked = daemon.run("check")
        assert looked.returncode == 3, looked
        assert json.loads(looked.stdout)["recorded"] is None, "nobody reads a server that is down"


@pytest.mark.parametrize("version", [15, 18])
def test_full_before_we_come(
    version: int, make_postgres: MakePostgres, tmp_path: Path, figure: Figure
) -> None:
    """There is no slot left when the daemon starts.

    Given a server whose ordinary slots are all taken by idle sessions
    When the daemon starts, with a slot kept for it (16 and newer) or without
    Then it terminates through that slot; or, shut out, it restarts the service and says what it cannot see.
    """
    reserves = version >= RESERVED_SINCE
    settings = {"reserved_connections": 2} if reserves else {}
    server = make_postgres(version, max_connections=24, **settings)
    app, watch = create_app_role(server), create_watch_role(server, reserved=reserves)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    with ExitStack() as stack:
        leaked = fill(app, stack)

        started = Stopwatch()
        with Daemon(tmp_path / "d", watch, worker, policy=ladder("worker")) as daemon:
            if reserves:
                daemon.wait_for("incident_relieved")
                assert worker.restarts == 0
                assert len(server.alive(leaked)) < len(leaked)
            else:
                daemon.wait(lambda: worker.restarts == 1, "the restart")
                daemon.wait_for("incident_held")
                assert daemon.said("plan_made")[0]["steps"][0]["objections"] == ["unreadable"]
                assert server.alive(leaked) == set(leaked)
            figure("acted after", str(started))
