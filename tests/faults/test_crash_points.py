"""The daemon is killed at every step between an intent and its outcome, and in a crash loop."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.conftest import Figure
from tests.testbed.daemon import UNDONE, LeakingService, Record, ladder, merged, outcomes, wait_for_sessions
from tests.testbed.faulty_daemon import FaultyDaemon
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

# Where to die, and how many restarts the service itself sees begin in that life, where that is certain.
POINTS = {
    "before_save_incident": None,
    "after_save_incident": None,
    "before_intend": 0,
    "after_intend": 0,
    "after_first_terminate": None,
    "after_terminate": None,
    "before_conclude": None,
    "after_conclude": None,
    "before_restart": 0,
    "restart_sent": 1,
    "after_restart": 1,
}
LIVES = 50
PER_DAY = 3
PER_HOUR = 40


@pytest.fixture(scope="module")
def server(postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A small server that keeps a slot for us, shared by the scenarios."""
    with PostgresServer(
        16, postgres_versions[16], {"max_connections": 40, "reserved_connections": 2}
    ) as started:
        yield started


def _policy(*, per_service: str, per_day: int, per_hour: int) -> Record:
    policy = ladder("worker")
    policy["check_every"] = dict.fromkeys(("normal", "monitor", "alert", "critical"), "50ms")
    policy["levels"] = {"critical": {"utilization": "60%", "refusing_connections": True, "for": "0s"}}
    policy["remediate"] |= {"settle": "100ms", "retry": "100ms", "until": {"utilization": "40%"}}
    policy["limits"] = {
        "terminate": {"per_step": "30%", "per_hour": per_hour},
        "restart": {"per_service": per_service, "per_day": per_day},
        "failed_rounds": 1000,
    }
    return policy


def _open_entries(state_dir: Path) -> set[int]:
    """The intents without an outcome, read past the program."""
    if not (state_dir / "ledger.db").exists():
        return set()
    with closing(sqlite3.connect(f"file:{state_dir / 'ledger.db'}?mode=ro", uri=True, timeout=5)) as db:
        return {number for (number,) in db.execute("SELECT id FROM entry WHERE outcome IS NULL")}


def _soon_given_up(worker: LeakingService) -> Record:
    """A restart that was never sent is taken for unconfirmed after seconds, not after a minute."""
    service = merged(worker.config, {"command": {"deadline": "4s"}, "verify": {"within": "3s"}})
    return {"services": [service]}


def _wait_for_restarts(worker: LeakingService, number: int) -> None:
    wait_until(lambda: worker.restarts >= number, what=f"{number} restarts")


def _assert_once_each(daemon: FaultyDaemon, restarts: int) -> list[Record]:
    """Every intent has one outcome that was told at most once; nothing was done without or twice."""
    finished = Counter(line["id"] for line in daemon.said("action_finished"))
    entries = daemon.entries()
    done = Counter(outcomes(entries))
    assert all(result is not None for _, result in done), done
    assert max(finished.values()) == 1, finished
    assert set(finished) <= {entry["id"] for entry in entries}
    victims = Counter(
        (entry["action"]["session"]["pid"], entry["action"]["session"]["backend_start"])
        for entry in entries
        if entry["action"]["kind"] == "terminate_session" and entry["outcome"]["result"] == "confirmed"
    )
    assert max(victims.values(), default=1) == 1
    charged = sum(1 for what, result in outcomes(entries) if what == "worker" and result not in UNDONE)
    assert restarts <= charged, done
    return entries


@pytest.mark.timeout(400)
def test_death_at_every_point(server: PostgresServer, tmp_path: Path, figure: Figure) -> None:
    """Given a leak that never heals, when killed at one point after the other, then intents are settled once.

    Each next start finds what the one before left; no restart is sent twice for one intent.
    """
    app, watch = create_app_role(server), create_watch_role(server, reserved=True)
    worker = LeakingService("worker", tmp_path / "worker", app, heals_after=None, every=0.01, takes=1.0)
    policy = _policy(per_service="100 per 1h", per_day=100, per_hour=10000)
    daemon = FaultyDaemon(tmp_path / "daemon", watch, policy=policy, config=_soon_given_up(worker))
    left_open = 0
    worker.start()
    try:
        for point, restarts in POINTS.items():
            before = worker.restarts
            daemon.begin(f"{point}:kill")
            assert daemon.exited(60) == -signal.SIGKILL, point
            left_open += len(_open_entries(daemon.state_dir))
            if restarts is not None:
                _wait_for_restarts(worker, before + restarts)
            wait_until(lambda: worker.finished == worker.restarts, what="the end of a restart")
            assert restarts is None or worker.restarts == before + restarts, point
        worker.heals_after = 0
        worker.configure()
        daemon.start()
        daemon.wait(lambda: not _open_entries(daemon.state_dir), "every outcome", 60)
        daemon.wait_for("incident_closed", within=60)
        assert daemon.terminate() == 0
        entries = _assert_once_each(daemon, worker.restarts)
        assert not daemon.said("cycle_failed")
        assert left_open > 0
        figure("deaths", f"{len(POINTS)}, {left_open} intents left open, all {len(entries)} settled once")
    finally:
        daemon.kill()
        worker.stop()


@pytest.mark.parametrize("point", ["before_lock", "after_lock"])
def test_death_around_the_lock(point: str, server: PostgresServer, tmp_path: Path) -> None:
    """Given a service that dies after its restart, when killed around its lock, then it is locked."""
    app, watch = create_app_role(server), create_watch_role(server, reserved=True)
    worker = LeakingService(
        "worker", tmp_path / "worker", app, heals_after=None, crashes_after=0.1, steady_for="3s"
    )
    policy = _policy(per_service="100 per 1h", per_day=100, per_hour=0)
    patient = merged(
        worker.config, {"command": {"deadline": "4s"}, "verify": {"within": "5s", "steady_for": "3s"}}
    )
    daemon = FaultyDaemon(tmp_path / "daemon", watch, policy=policy, config={"services": [patient]})
    try:
        with open_idle(app, 5):
            daemon.begin(f"{point}:kill")
            daemon.wait(lambda: bool(daemon.said("cycle")), "its first cycle")
            worker.start()
            assert daemon.exited(60) == -signal.SIGKILL
            daemon.start()
            daemon.wait_for("action_finished", outcome="refuted", within=60)
            daemon.wait_cycles(5)
            assert daemon.terminate() == 0
        assert worker.restarts == 1
        _assert_once_each(daemon, worker.restarts)
        assert "service:worker" in daemon.run("ack").stdout
    finally:
        daemon.kill()
        worker.stop()


def test_fifty_crashes_in_a_row(server: PostgresServer, tmp_path: Path, figure: Figure) -> None:
    """Given budgets, when fifty lives each end in a crash in the middle of acting, then the budgets hold."""
    app, watch = create_app_role(server), create_watch_role(server, reserved=True)
    worker = LeakingService("worker", tmp_path / "worker", app, heals_after=None, every=0.01, limit=30)
    policy = _policy(per_service="2 per 1h", per_day=PER_DAY, per_hour=PER_HOUR)
    daemon = FaultyDaemon(tmp_path / "daemon", watch, policy=policy, config=_soon_given_up(worker))
    worker.start()
    try:
        wait_for_sessions(server, "worker", 28)
        daemon.begin("after_intend:kill,restart_sent:kill,before_sample:kill:4", lives=LIVES)
        assert daemon.exited(150) == 0, daemon.errors[-2000:]
        assert daemon.run("pause").returncode == 0  # what is open is settled, nothing new is begun
        daemon.start()
        daemon.wait(lambda: not _open_entries(daemon.state_dir), "every outcome", 60)
        daemon.wait_cycles(3)
        assert daemon.terminate() == 0
        entries = _assert_once_each(daemon, worker.restarts)
        intended = Counter(what for what, _ in outcomes(entries))
        assert len(daemon.said("daemon_started")) == LIVES + 1
        assert 0 < intended["worker"] <= 2
        assert 0 < intended["terminate"] <= PER_HOUR
        assert worker.restarts <= intended["worker"]
        assert not daemon.said("cycle_failed")
        figure(
            "after 50 crashes",
            f"{worker.restarts} restarts of 2 allowed, {intended['terminate']} of {PER_HOUR} terminations",
        )
    finally:
        daemon.kill()
        worker.stop()
