"""The daemon is killed at any moment of a remediation, again and again, and started anew each time."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

from tests.conftest import MakePostgres
from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes, wait_for_sessions
from tests.testbed.roles import create_app_role, create_watch_role

DEATHS = 10
PER_DAY = 3
PER_HOUR = 60


def test_killed_ten_times_in_a_row(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """Each intent gets one outcome, limits hold as if it had been one process, nothing is done twice."""
    server = make_postgres(16, max_connections=40)
    app, watch = create_app_role(server), create_watch_role(server)
    # They never heal, so that there is always something that the daemon would like to do.
    services = [
        LeakingService(name, tmp_path / name, app, heals_after=None, every=0.05, takes=0.3)
        for name in ("worker", "api")
    ]
    policy = ladder("worker", "api")
    policy["remediate"] |= {"settle": "100ms", "retry": "100ms"}
    policy["limits"] = {
        "terminate": {"per_step": "40%", "per_hour": PER_HOUR},
        "restart": {"per_service": "2 per 1h", "per_day": PER_DAY},
        "failed_rounds": 100,
    }
    seed = random.SystemRandom().randrange(1_000_000)
    chance = random.Random(seed)  # noqa: S311  moments to die at, not secrets
    killed_in_flight = 0
    with Daemon(tmp_path / "daemon", watch, *services, policy=policy) as daemon:
        wait_for_sessions(server, "worker", 15)
        daemon.wait_for("incident_opened")
        for _ in range(DEATHS):
            time.sleep(chance.uniform(0.05, 0.9))
            daemon.kill()
            killed_in_flight += _open_entries(daemon.state_dir)
            daemon.start()
        for service in services:
            daemon.wait(lambda s=service: s.restarts == s.finished, "restarts to end")
        daemon.wait(lambda: not _open_entries(daemon.state_dir), f"every outcome (seed {seed})", within=60)
        daemon.wait_cycles(10)

        # The daemon goes on meanwhile: what was said is read before the entries that it has to be found in.
        restarts = {service.name: service.restarts for service in services}
        finished = Counter(line["id"] for line in daemon.said("action_finished"))
        entries = daemon.entries()
        done = Counter(outcomes(entries))
        told = f"seed {seed}, {killed_in_flight} in flight when killed, restarts {restarts}, outcomes {done}"
        assert all(result is not None for _, result in done), told
        intended = Counter(what for what, _ in outcomes(entries))
        # A restart may have been intended and never begun; never begun without having been intended.
        assert all(restarts[name] <= intended[name] for name in restarts), told
        assert all(intended[name] <= 2 for name in restarts), told
        assert sum(intended[name] for name in restarts) <= PER_DAY, told
        assert intended["terminate"] <= PER_HOUR, told
        assert restarts["worker"] >= 1, told
        victims = Counter(
            (entry["action"]["session"]["pid"], entry["action"]["session"]["backend_start"])
            for entry in entries
            if entry["action"]["kind"] == "terminate_session" and entry["outcome"]["result"] == "confirmed"
        )
        assert max(victims.values()) == 1, told
        assert max(finished.values()) == 1, told
        assert set(finished) <= {entry["id"] for entry in entries}, told
        assert not daemon.said("cycle_failed"), told
        assert not daemon.said("ledger_unavailable"), told


def _open_entries(state_dir: Path) -> int:
    """Count the intents without an outcome, past the program."""
    connection = sqlite3.connect(f"file:{state_dir / 'ledger.db'}?mode=ro", uri=True, timeout=5)
    try:
        (count,) = connection.execute("SELECT count(*) FROM entry WHERE outcome IS NULL").fetchone()
    finally:
        connection.close()
    assert isinstance(count, int)
    return count
