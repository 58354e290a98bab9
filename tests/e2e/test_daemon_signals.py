"""Signals, a second daemon, and state directories that cannot be used."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes, wait_for_sessions
from tests.testbed.postgres import PostgresServer
from tests.testbed.sessions import open_idle

RESTART_ONLY = ladder("worker", terminate=False)


def test_a_reload_puts_new_thresholds_in_force_and_keeps_the_old_ones_of_a_broken_file(
    app: str, watch: str, tmp_path: Path
) -> None:
    """Whatever is wrong with the new file, the daemon goes on with what it has and says every mistake."""
    with Daemon(tmp_path, watch, mode="dry-run") as daemon, open_idle(app, 12):
        daemon.wait_cycles(1, level="monitor")

        good = daemon.config_file.read_text()
        daemon.config_file.write_text(good.replace('"shop"', '"shop", "pasword": "x"').replace("80%", "880%"))
        daemon.signal(signal.SIGHUP)
        rejected = daemon.wait_for("config_rejected")
        assert len(rejected["because"]) == 2
        assert all(line.startswith(f"{daemon.config_file}:") for line in rejected["because"])
        daemon.config_file.unlink()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("config_rejected", times=2)
        daemon.wait_cycles(2, level="monitor")

        daemon.config["databases"][0]["dsn"] = watch.replace("/postgres", "/template1")
        daemon.write_config()
        daemon.signal(signal.SIGHUP)
        (line,) = daemon.wait_for("config_rejected", times=3)["because"]
        assert "connection changed; restart remediator to put it in force" in line

        daemon.config["databases"][0]["dsn"] = watch
        critical = {"utilization": "30%", "refusing_connections": True, "for": "0s"}
        levels = {"monitor": {"utilization": "10%"}, "alert": {"utilization": "20%"}, "critical": critical}
        older = [{"terminate_idle": {"older_than": "200ms"}}]
        remediate = {"until": {"utilization": "25%"}, "steps": older}
        daemon.write_config({"levels": levels, "remediate": remediate})
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("config_reloaded")
        daemon.wait_for("level_changed", level="critical")
        assert daemon.wait_for("plan_made")["steps"][0]["step"] == (
            "terminate sessions idle for 0.2s or longer"
        )
        daemon.wait_for("incident_relieved")


def test_that_the_daemon_still_enforces_is_said_whatever_the_config_says_by_now(
    watch: str, tmp_path: Path
) -> None:
    """A change of the mode needs a restart: until then no command leaves the belief that it is done."""
    commands = ("plan", "history", "check", "ack", "doctor", "health")
    with Daemon(tmp_path, watch) as daemon:
        assert daemon.run("plan").stderr == ""
        daemon.reload({"mode": "dry-run"})
        daemon.wait_for("config_rejected")
        for command in commands:
            assert "the daemon that runs is in mode enforce" in daemon.run(command).stderr, command
        assert daemon.run("plan", "--mode", "enforce").stderr == ""
        daemon.restart()
        assert daemon.run("plan").stderr == ""


def test_a_reload_that_comes_too_early_is_taken_up_once_the_daemon_is_there(
    watch: str, tmp_path: Path
) -> None:
    """Whoever has just started it may ask at once; without a handler the signal would end the process."""
    with Daemon(tmp_path, watch, mode="dry-run") as daemon:
        daemon.terminate()
        before = len(daemon.said("config_reloaded"))
        daemon.start(wait=False)
        daemon.wait(lambda: holds_back(daemon.pid, signal.SIGHUP), "the process to hold it back")
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: len(daemon.said("config_reloaded")) > before, "the reload")
        daemon.wait_cycles(2)
        assert not holds_back(daemon.pid, signal.SIGHUP)  # nor do the commands that it starts
        assert daemon.terminate() == 0


def holds_back(pid: int, number: signal.Signals) -> bool:
    """Tell whether a process has a signal blocked."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_a_burst_of_reloads_interrupts_nothing(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """Hundreds of SIGHUPs while a service is being restarted: one restart, verified, no failed cycle."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=33, takes=1.0)
    with Daemon(tmp_path / "daemon", watch, worker, policy=RESTART_ONLY) as daemon:
        wait_for_sessions(server, "worker", 33)
        daemon.wait_for("action_intended")
        for number in range(400):
            daemon.signal(signal.SIGHUP)
            if number % 20 == 0:
                time.sleep(0.02)
        daemon.wait_for("incident_closed")
        assert daemon.said("config_reloaded")
        assert not daemon.said("cycle_failed")
        assert not daemon.said("config_rejected")
        assert (worker.restarts, worker.finished) == (1, 1)
        assert outcomes(daemon.entries()) == [("worker", "confirmed")]


def test_a_stop_during_a_long_restart_is_quick_and_the_next_start_settles_it(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """The restart goes on without us; nobody asks for it again, and its outcome is recorded once."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=33, takes=4.0)
    with Daemon(tmp_path / "daemon", watch, worker, policy=RESTART_ONLY) as daemon:
        wait_for_sessions(server, "worker", 33)
        daemon.wait_for("action_intended")
        daemon.wait(lambda: worker.restarts == 1, "the restart to begin")
        begun = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - begun < 3.5
        assert daemon.errors == ""
        assert worker.finished == 0
        assert outcomes(daemon.entries()) == [("worker", None)]
        daemon.start()
        daemon.wait_for("action_finished")
        assert outcomes(daemon.entries()) == [("worker", "confirmed")]
        assert (worker.restarts, worker.finished, worker.running) == (1, 1, True)
        daemon.wait_for("incident_closed")


def test_interrupts(watch: str, tmp_path: Path) -> None:
    """The first one ends in order; a second one, when that takes too long, ends at once."""
    with Daemon(tmp_path / "once", watch) as daemon:
        daemon.signal(signal.SIGINT)
        assert daemon.exited() == 0
        assert daemon.said("daemon_stopping")[0]["because"] == "SIGINT"
    hole = socket.create_server(("127.0.0.1", 0))  # takes connections and never says a word
    with hole:
        silent = f"postgresql://x@127.0.0.1:{hole.getsockname()[1]}/x"
        slow = {"timeout": "60s", "query_timeout": "60s"}
        hanging = Daemon(tmp_path / "twice", silent)
        hanging.config["databases"][0]["connect"] = slow
        hanging.write_config()
        hanging.start(wait=False)
        try:
            hanging.wait_for("daemon_started")
            time.sleep(0.3)
            hanging.signal(signal.SIGINT)
            hanging.wait_for("daemon_stopping")
            begun = time.monotonic()
            hanging.signal(signal.SIGINT)
            assert hanging.exited() == 130
            assert time.monotonic() - begun < 3
            assert hanging.errors.strip() == ""
            hanging.start(wait=False)
            hanging.wait_for("daemon_started", times=2)
            time.sleep(0.3)
            begun = time.monotonic()
            assert hanging.terminate() == 0  # alone, one signal is enough: running cycles get a few seconds
            assert time.monotonic() - begun < 9
        finally:
            hanging.kill()


def test_a_second_daemon_is_refused(watch: str, tmp_path: Path) -> None:
    """Only one acts on a state directory; the other says which one does, and exits 75."""
    with Daemon(tmp_path, watch) as daemon:
        for options in ((), ("--once",), ("--mode", "dry-run")):
            second = daemon.run("run", *options)
            assert second.returncode == 75
            (line,) = second.stderr.splitlines()
            assert f"in use by pid {daemon.pid} on {socket.gethostname()}" in line
            assert second.stdout == ""
        daemon.kill()
        assert daemon.run("run", "--once").returncode == 0


def test_of_two_daemons_that_start_together_one_runs(watch: str, tmp_path: Path) -> None:
    """However close the race is."""
    daemon = Daemon(tmp_path, watch)
    processes = [
        subprocess.Popen(
            daemon.argv("run"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ.copy()
        )
        for _ in range(3)
    ]
    try:
        deadline = time.monotonic() + 20
        while sum(p.poll() is None for p in processes) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sorted(p.poll() or 0 for p in processes) == [0, 75, 75]
        assert [p.poll() for p in processes].count(None) == 1
    finally:
        for process in processes:
            process.terminate()
            process.communicate(timeout=20)


def _missing(state_dir: Path) -> None:
    state_dir.rmdir()


def _file(state_dir: Path) -> None:
    state_dir.rmdir()
    state_dir.write_text("")


def _open_to_everyone(state_dir: Path) -> None:
    state_dir.chmod(0o777)


def _lock_is_a_directory(state_dir: Path) -> None:
    (state_dir / "lock").mkdir()


@pytest.mark.parametrize("spoil", [_missing, _file, _open_to_everyone, _lock_is_a_directory])
def test_once_with_a_state_directory_that_cannot_be_used(spoil: object, watch: str, tmp_path: Path) -> None:
    """The database is looked at all the same; one line names the directory, exit 74."""
    daemon = Daemon(tmp_path, watch)
    assert callable(spoil)
    spoil(daemon.state_dir)
    done = daemon.run("run", "--once")
    assert done.returncode == 74
    (line,) = done.stderr.splitlines()
    assert str(daemon.state_dir) in line
    said = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    # What is seen is recorded in the same directory, by a thread that says in its own time that it cannot be.
    said = [name for name in said if name != "recording_unavailable"]
    assert said == ["daemon_started", "ledger_unavailable", "cycle"]
