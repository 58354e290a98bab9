"""Another server answers at the address: noticed, looked at first, and never mistaken for the old one."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.testbed.daemon import Daemon, LeakingService, ladder, merged, outcomes
from tests.testbed.elapsed import Stopwatch
from tests.testbed.replication import Standby, Switch
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import MakePostgres
    from tests.faults.conftest import Figure
    from tests.testbed.postgres import PostgresServer

CONFIRMED_AFTER = 1.5
POLICY: dict[str, Any] = {"levels": {"critical": {"for": f"{CONFIRMED_AFTER}s"}}}
OWN = "SELECT pid FROM pg_stat_activity WHERE usename = 'remediator' AND backend_type = 'client backend'"


@pytest.fixture(params=[16])
def primary(request: pytest.FixtureRequest, make_postgres: MakePostgres) -> PostgresServer:
    """A server with the two roles on it, which its standby then has too."""
    server = make_postgres(request.param, max_connections=40)
    create_app_role(server)
    create_watch_role(server)
    return server


@pytest.fixture
def standby(primary: PostgresServer, postgres_versions: Mapping[int, Path]) -> Iterator[Standby]:
    """A standby that follows the primary."""
    follower = Standby(primary, postgres_versions[primary.version])
    try:
        follower.start()
        yield follower
    finally:
        follower.destroy()


def at(line: dict[str, Any]) -> datetime:
    """When a line was logged."""
    return datetime.fromisoformat(line["at"])


def test_a_failover_in_the_middle_of_a_remediation(
    primary: PostgresServer, standby: Standby, tmp_path: Path, figure: Figure
) -> None:
    """The old primary's sessions are being terminated when another primary takes its address.

    Given a critical primary, one of whose terminated sessions hangs and is still waited for
    When its promoted standby, as full of idle sessions, answers at the address instead
    Then that is told with what differs, the waiting ends as unknown, nothing is done before critical has
    lasted on the new server, and then its own sessions are terminated.
    """
    app, watch = create_app_role(primary), create_watch_role(primary)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    policy = merged(ladder("worker"), POLICY)
    with Switch(primary.port) as switch:
        daemon = Daemon(tmp_path / "d", switch.dsn(watch, primary), worker, policy=policy)
        with open_idle(app, 34) as old, daemon:
            primary.freeze_backend(old[0])
            daemon.wait_for("action_finished", outcome="confirmed")
            daemon.wait(
                lambda: len(daemon.said("action_finished")) == len(daemon.said("action_intended")) - 1, "all"
            )
            acted = len(daemon.said("action_intended"))
            standby.promote()
            with open_idle(app.replace(f":{primary.port}/", f":{standby.port}/"), 34) as new:
                switched = Stopwatch()
                switch.lead_to(standby.port)
                changed = daemon.wait_for("server_changed")
                figure("noticed after", str(switched))
                assert "timeline 2, was 1" in changed["because"]
                daemon.wait_for("action_finished", outcome="unknown")
                assert "another server" in daemon.said("action_finished", outcome="unknown")[0]["detail"]
                daemon.wait(lambda: len(standby.alive(new)) < 20, "relief on the new server")
                figure("acted on the new server after", str(switched))
                first = daemon.said("action_intended")[acted]
                assert (at(first) - at(changed)).total_seconds() >= CONFIRMED_AFTER
                daemon.wait_for("incident_relieved")
                assert worker.restarts == 0
                told = outcomes(daemon.entries())
                assert told.count(("terminate", "unknown")) == 1
                assert {result for _, result in told} <= {"confirmed", "unknown"}
                assert len(daemon.said("server_changed")) == 1


def test_the_old_primary_lives_on(
    primary: PostgresServer, standby: Standby, tmp_path: Path, figure: Figure
) -> None:
    """The proxy leads new connections to the new primary and leaves ours where it is.

    Given a primary that is watched through a proxy
    When new connections are led to its promoted standby, and the old primary stays up and connected
    Then the probe finds out, and from then on the new one is watched.
    """
    watch = create_watch_role(primary)
    with (
        Switch(primary.port) as switch,
        Daemon(tmp_path, switch.dsn(watch, primary), policy=ladder()) as daemon,
    ):
        daemon.wait_cycles(3)
        standby.promote()
        switched = Stopwatch()
        switch.lead_to(standby.port, cut=False)
        daemon.wait_for("server_changed")
        figure("noticed after, with a probe every 300 ms", str(switched))
        assert daemon.said("cycle", trouble="moved")
        wait_until(lambda: not primary.rows(OWN), what="our session to leave the old primary")
        daemon.wait_cycles(10, unknown=False)
        assert standby.rows(OWN)
        assert len(daemon.said("server_changed")) == 1
        assert daemon.entries() == []


def test_a_standby_at_the_address_is_left_alone(
    primary: PostgresServer, standby: Standby, tmp_path: Path, figure: Figure
) -> None:
    """The proxy leads to a standby.

    Given a primary that is watched through a proxy
    When a standby that is critical answers at the address, and later is promoted there
    Then it is told and nothing is done as long as it is a standby; as a primary it is remedied.
    """
    app, watch = create_app_role(primary), create_watch_role(primary)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    policy = merged(ladder("worker"), POLICY)
    with (
        Switch(primary.port) as switch,
        open_idle(app.replace(f":{primary.port}/", f":{standby.port}/"), 34) as readers,
        Daemon(tmp_path / "d", switch.dsn(watch, primary), worker, policy=policy) as daemon,
    ):
        switch.lead_to(standby.port)
        assert "a standby now" in daemon.wait_for("server_changed", standby=True)["because"]
        daemon.wait_for("incident_held")
        daemon.wait_cycles(10)
        assert standby.alive(readers) == set(readers)
        assert worker.restarts == 0
        assert daemon.entries() == []
        promoted = Stopwatch()
        standby.promote()
        changed = daemon.wait_for("server_changed", standby=False)
        assert "was a standby" in changed["because"]
        figure("promotion noticed after", str(promoted))
        daemon.wait_for("incident_relieved")
        first = daemon.said("action_intended")[0]
        assert (at(first) - at(changed)).total_seconds() >= CONFIRMED_AFTER
        assert worker.restarts == 0


def test_a_restored_copy_at_the_address(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """Somebody puts back yesterday's copy of the data directory.

    Given a server that has written on since a copy of it was made
    When the copy is started in its place
    Then it is told from a mere restart.
    """
    server = make_postgres(16, max_connections=40)
    watch = create_watch_role(server)
    server.stop("fast")
    data, copy = server.directory / "data", server.directory / "copy"
    subprocess.run(["cp", "-a", data, copy], check=True)
    server.start()
    server.rows("CREATE TABLE today AS SELECT generate_series(1, 1000)")
    with Daemon(tmp_path, watch, policy=ladder()) as daemon:
        server.restart("fast")
        daemon.wait_for("server_restarted")
        assert not daemon.said("server_changed")
        server.stop("fast")
        shutil.rmtree(data)
        copy.rename(data)
        server.start()
        assert "behind" in daemon.wait_for("server_changed")["because"]
        daemon.wait_cycles(3, unknown=False)
        assert len(daemon.said("server_restarted")) == 1
