"""The demo's supervisor and the two commands that the daemon is given for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediator.demo.guard import Guard
from remediator.demo.supervisor import ServiceSpec, Supervisor
from tests.testbed.waiting import wait_until

SLEEP = ("-c", "import time; time.sleep(600)")
STUBBORN = (
    "-c",
    "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); signal.pause()",
)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="supervisor-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def supervisor(directory: Path) -> Iterator[Supervisor]:
    """A supervisor with one service."""
    guard = Guard()
    made = Supervisor([ServiceSpec("reports", SLEEP, SLEEP)], directory, os.environ, guard)
    made.start()
    yield made
    made.stop()
    guard.end()
    wait_until(lambda: not made.running(), what="the guard to end the service")


def order(verb: str, name: str, supervisor: Supervisor) -> tuple[int, str, str]:
    """Give an order as the daemon does."""
    argv = [sys.executable, "-m", "remediator.demo.service", verb, name, str(supervisor.socket)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_a_restart_gives_another_process_and_another_token(supervisor: Supervisor) -> None:
    """The token is what the daemon verifies a restart by."""
    before = order("inspect", "reports", supervisor)
    pid = supervisor.pids()["reports"]
    assert before == (0, f"start 1, process {pid}", "")
    assert order("inspect", "reports", supervisor) == before
    code, token, _ = order("restart", "reports", supervisor)
    assert code == 0
    assert token == f"start 2, process {supervisor.pids()['reports']}"
    assert not Path("/proc", str(pid)).exists()
    assert supervisor.starts("reports") == 2


def test_a_dead_service_does_not_run(supervisor: Supervisor) -> None:
    """And a restart brings it back."""
    os.kill(supervisor.pids()["reports"], signal.SIGKILL)
    wait_until(lambda: not supervisor.running(), what="the service to end")
    code, token, error = order("inspect", "reports", supervisor)
    assert (code, token, error) == (3, "", "reports does not run")
    assert order("restart", "reports", supervisor)[0] == 0


@pytest.mark.parametrize(("verb", "name"), [("inspect", "other"), ("reboot", "reports")])
def test_what_is_not_known_is_refused(supervisor: Supervisor, verb: str, name: str) -> None:
    """Nothing is started or ended by a wrong order."""
    code, _, error = order(verb, name, supervisor)
    assert code == 3
    assert error.startswith("there is no ")
    assert supervisor.starts("reports") == 1


def test_a_service_that_ignores_the_signal_is_killed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart does not wait for ever."""
    monkeypatch.setattr("remediator.demo.supervisor._STOP_WITHIN", 0.2)
    guard = Guard()
    made = Supervisor([ServiceSpec("deaf", STUBBORN, SLEEP)], directory, os.environ, guard)
    made.start()
    wait_until(lambda: "deaf" in (directory / "deaf.log").read_text(), what="the service to be deaf")
    assert made.answer("restart deaf").startswith("ok start 2")
    made.stop()
    guard.end()
    assert not made.running()


def test_the_guard_ends_what_it_was_told_of(directory: Path) -> None:
    """Processes first, then directories."""
    guard = Guard()
    process = subprocess.Popen([sys.executable, *SLEEP])
    doomed = directory / "doomed"
    doomed.mkdir()
    (doomed / "file").touch()
    guard.process(process.pid, signal.SIGTERM)
    guard.directory(doomed)
    guard.end()
    assert process.wait() == -signal.SIGTERM
    assert not doomed.exists()
    assert directory.exists()
