"""A policy with a slip in it selects nearly every session there is: nothing is done, and a person is told."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import MakePostgres
from tests.faults.conftest import Figure
from tests.testbed.daemon import Daemon, LeakingService, ladder
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle


def test_a_slip_that_selects_nearly_everything_ends_no_session(
    make_postgres: MakePostgres, tmp_path: Path, figure: Figure
) -> None:
    """Given a full server and a policy whose `until` lost a digit, when critical is confirmed.

    Then every session lives, no service is restarted instead, and it is said once, at severity error.
    """
    server = make_postgres(16, max_connections=40)
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    policy = ladder("worker")
    policy["remediate"] |= {"until": {"utilization": "5%"}}
    policy["limits"] = {"terminate": {"abort_above": ["80%", 2000]}}
    with (
        open_idle(app, 34) as leaked,
        Daemon(tmp_path / "daemon", watch, worker, policy=policy) as daemon,
    ):
        held = daemon.wait_for("incident_held")
        daemon.wait_cycles(12)
        assert held["severity"] == "error"
        assert "would have to go, more than 80% or 2000" in held["because"]
        assert server.alive(leaked) == set(leaked)
        assert worker.restarts == 0
        assert daemon.entries() == []
        assert len(daemon.said("incident_held")) == 1
    figure("sessions ended, services restarted by a policy that wants 34 of 35 gone", "0, 0")
