"""Leaks that come back at once after each remedy: the budget is spent, then it holds and tells a person."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.testbed.daemon import UNDONE, Daemon, LeakingService, ladder, merged, outcomes
from tests.testbed.elapsed import Stopwatch
from tests.testbed.roles import create_app_role, create_watch_role

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakePostgres
    from tests.faults.conftest import Figure

TERMINATIONS = 60
STILL = 4.0


def test_a_leak_that_no_remedy_cures(make_postgres: MakePostgres, tmp_path: Path, figure: Figure) -> None:
    """Two services leak as fast as they can, whatever is done to them.

    Given services that fill the server again at once after each termination and each restart
    When the ladder has been climbed
    Then each limit holds to the last unit, a person is told, and nothing is done any more.
    """
    server = make_postgres(16, max_connections=40)
    app, watch = create_app_role(server), create_watch_role(server)
    services = [
        LeakingService(name, tmp_path / name, app, every=0.01, limit=10_000, heals_after=None)
        for name in ("worker", "api")
    ]
    limits = {
        "terminate": {"per_step": "100%", "per_hour": TERMINATIONS},
        "restart": {"per_service": "1 per 30m", "per_day": 2},
        "failed_rounds": 3,
    }
    policy = merged(ladder("worker", "api"), {"limits": limits, "remediate": {"retry": "500ms"}})
    with Daemon(tmp_path / "d", watch, *services, policy=policy) as daemon:
        begun = Stopwatch()
        daemon.wait(lambda: all(service.restarts for service in services), "both restarts")
        spent = len(daemon.said("incident_held"))
        daemon.wait_for("incident_held", times=spent + 1, within=60)
        figure("a person told after", str(begun))
        settled = [service.restarts for service in services]
        time.sleep(STILL)
        entries = daemon.entries()
        assert [service.restarts for service in services] == settled == [1, 1]
        told = outcomes(entries)
        terminations = [result for what, result in told if what == "terminate" and result not in UNDONE]
        assert len(terminations) <= TERMINATIONS
        assert len([what for what, _ in told if what != "terminate"]) == 2
        assert daemon.said("cycle")[-1]["level"] == "critical"
        assert not daemon.said("incident_closed")
        figure("actions taken", f"{len(terminations)} terminations, 2 restarts, then none for {STILL:g} s")
