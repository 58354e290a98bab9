"""A state directory that is missing, spoiled, full or taken away: observe only, said, and back by itself."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.core.model import Mode
from tests.faults.conftest import Figure
from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes, wait_for_sessions
from tests.testbed.disks import fill, made_read_only, small_disk
from tests.testbed.ledger import closed, incident, intent, terminate
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

Mend = Callable[[], object]


@pytest.fixture(scope="module")
def dsns(server: PostgresServer) -> tuple[str, str]:
    """What applications connect with, and what the daemon does."""
    return create_app_role(server), create_watch_role(server)


def _missing(state_dir: Path) -> Mend:
    state_dir.rmdir()
    return lambda: state_dir.mkdir(mode=0o700)


def _read_only(state_dir: Path) -> Mend:
    return made_read_only(state_dir)


def _no_lock_possible(state_dir: Path) -> Mend:
    (state_dir / "lock").mkdir()
    return (state_dir / "lock").rmdir


def _spoiled(state_dir: Path, spoil: Callable[[Path], object]) -> Mend:
    """A ledger that is spoiled; mending it is putting it back as it was."""
    ledger = state_dir / "ledger.db"
    sound = ledger.read_bytes()
    spoil(ledger)
    spoiled = ledger.read_bytes()

    def mend() -> None:
        assert ledger.read_bytes() == spoiled
        ledger.write_bytes(sound)

    return mend


def _of_a_newer_version(state_dir: Path) -> Mend:
    def upgrade(ledger: Path) -> None:
        with closing(sqlite3.connect(ledger)) as db:
            db.execute("PRAGMA user_version = 99")

    return _spoiled(state_dir, upgrade)


def _torn(state_dir: Path) -> Mend:
    return _spoiled(state_dir, lambda ledger: ledger.write_bytes(ledger.read_bytes()[:-5000]))


def _deleted(state_dir: Path) -> Mend:
    ledger, elsewhere = state_dir / "ledger.db", state_dir.with_name("elsewhere")
    ledger.rename(elsewhere)
    return lambda: elsewhere.rename(ledger)


async def _use(state_dir: Path) -> None:
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    now = datetime.now(UTC)
    old = incident("old", now - timedelta(days=2))
    await store.intend(old, [intent(terminate(), at=now, of="old")])
    await store.save_incident(closed("old", old.opened_at, now))
    await store.close()


@pytest.mark.parametrize(
    "spoil",
    [_missing, _read_only, _no_lock_possible, _of_a_newer_version, _torn, _deleted],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_unusable_at_start(
    spoil: Callable[[Path], Mend],
    server: PostgresServer,
    dsns: tuple[str, str],
    tmp_path: Path,
    figure: Figure,
) -> None:
    """Given an unusable state directory and a full server, when started, then it looks on until it is mended.

    It samples, judges and says why nothing is done; once mended it acts, without another start.
    """
    app, watch = dsns
    daemon = Daemon(tmp_path, watch, policy=ladder())
    if spoil in (_of_a_newer_version, _torn, _deleted):
        asyncio.run(_use(daemon.state_dir))
    mend = spoil(daemon.state_dir)
    with ExitStack() as at_the_end, open_idle(app, 34) as leaked, daemon:
        if spoil is _read_only:
            at_the_end.callback(mend)
        said = daemon.wait_for("ledger_unavailable")
        assert str(daemon.state_dir) in said["because"]
        daemon.wait_for("level_changed", level="critical")
        daemon.wait_cycles(3, level="critical")
        assert server.alive(leaked) == set(leaked)
        assert not daemon.said("action_intended")
        levels = [one["level"] for one in daemon.said("ledger_unavailable")]
        assert levels in (["critical"], [levels[0], "critical"]), "once, and once more when it is critical"
        mend()
        mended = time.monotonic()
        daemon.wait_for("ledger_available")
        figure("acts again after", f"{time.monotonic() - mended:.1f} s")
        daemon.wait_for("incident_relieved")
        assert daemon.run("health").returncode == 0
        done = [entry for incident in daemon.history()[-1:] for entry in incident["entries"]]
        assert {result for _, result in outcomes(done)} == {"confirmed"}
        assert not daemon.said("cycle_failed")
        assert daemon.terminate() == 0


def test_full_in_the_middle_of_remediation(
    server: PostgresServer, dsns: tuple[str, str], tmp_path: Path
) -> None:
    """Given an incident half-way, when the disk is full, then nothing is done unrecorded.

    With room again it goes on by itself; what was done before is not done again.
    """
    app, watch = dsns
    policy = ladder()
    policy["remediate"] |= {"settle": "200ms", "retry": "200ms", "until": {"utilization": "10%"}}
    policy["limits"] = {"terminate": {"per_step": "10%", "per_hour": 10000}, "failed_rounds": 1000}
    with small_disk(tmp_path / "disk") as disk, open_idle(app, 34) as leaked:
        daemon = Daemon(tmp_path / "daemon", watch, policy=policy, config={"state_dir": str(disk)})
        daemon.state_dir = disk
        with daemon:
            daemon.wait_for("action_finished")
            ballast = fill(disk)
            with open_idle(app, 35 - len(server.alive(leaked))) as more:
                because = daemon.wait_for("ledger_unavailable")["because"]
                assert str(disk) in because
                daemon.wait_cycles(8)
                ballast.unlink()
                daemon.wait(lambda: _is_well(daemon), "a ledger that can be used")
                daemon.wait(lambda: all(e["outcome"] for e in daemon.entries()), "every outcome")
                daemon.terminate()
                gone = {*leaked, *more} - server.alive([*leaked, *more])
        ended = [
            e["action"]["session"]["pid"] for e in daemon.entries() if e["outcome"]["result"] == "confirmed"
        ]
        assert len(ended) == len(set(ended))
        assert gone == set(ended)


def _is_well(daemon: Daemon) -> bool:
    """Whether the last that was said of the ledger is that it can be used."""
    bad, good = daemon.said("ledger_unavailable"), daemon.said("ledger_available")
    return bool(good) and good[-1]["at"] > bad[-1]["at"]


def test_taken_away_after_the_budget_was_spent(
    dsns: tuple[str, str], server: PostgresServer, tmp_path: Path
) -> None:
    """Given a spent budget, when the state directory is emptied, then the budget is not refilled.

    The process that spent it remembers; with the records back it goes on, with the same budget.
    """
    app, watch = dsns
    worker = LeakingService("worker", tmp_path / "worker", app, heals_after=None)
    policy = ladder("worker", terminate=False)
    with Daemon(tmp_path / "daemon", watch, worker, policy=policy) as daemon:
        wait_for_sessions(server, "worker", 30)
        daemon.wait_for("action_finished", action="restart")
        daemon.wait_for("incident_held")
        elsewhere = tmp_path / "elsewhere"
        daemon.state_dir.rename(elsewhere)
        daemon.state_dir.mkdir(mode=0o700)
        missed = daemon.wait_for("ledger_unavailable")
        daemon.wait_cycles(8, level="critical")
        assert worker.restarts == 1
        assert str(daemon.state_dir) in missed["because"]
        assert not (daemon.state_dir / "ledger.db").exists()
        shutil.rmtree(daemon.state_dir)
        elsewhere.rename(daemon.state_dir)
        daemon.wait_for("ledger_available")
        daemon.wait_cycles(5, level="critical")
        assert worker.restarts == 1
        assert not daemon.said("cycle_failed")


def test_the_lock_is_removed_and_another_daemon_comes(
    server: PostgresServer, dsns: tuple[str, str], tmp_path: Path
) -> None:
    """Given a removed lock file, when another daemon takes it, then the first observes until it ends."""
    app, watch = dsns
    with Daemon(tmp_path, watch, policy=ladder()) as first:
        first.signal(signal.SIGSTOP)
        (first.state_dir / "lock").unlink()
        config = {"state_dir": str(first.state_dir)}
        second = Daemon(tmp_path / "second", watch, mode="dry-run", policy=ladder(), config=config)
        with second, open_idle(app, 34) as leaked:
            second.wait_for("incident_opened")
            first.signal(signal.SIGCONT)
            because = first.wait_for("ledger_unavailable")["because"]
            assert f"in use by pid {second.pid} " in because
            first.wait_cycles(5, level="critical")
            assert server.alive(leaked) == set(leaked)
            assert second.terminate() == 0
            first.wait_for("ledger_available")
            first.wait_for("incident_relieved")
            assert len(server.alive(leaked)) < 20
