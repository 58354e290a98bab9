"""The wall clock jumps, and the machine sleeps: checks go on, and nothing is done too early or too late."""

from __future__ import annotations

import re
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import MakePostgres
from tests.faults.conftest import Figure
from tests.soak.readings import read_process
from tests.testbed.daemon import Daemon, LeakingService, ladder
from tests.testbed.faketime import FakeClock
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

PACE = 0.15
HOUR = 3600
DAY = 24 * HOUR
JUMPS = {
    "an hour ahead": HOUR,
    "an hour behind": -HOUR,
    "30 days ahead": 30 * DAY,
    "to the year 2200": 174 * 365 * DAY,
    "back": 0,
}
# A clock set back keeps the scheduler from its next check until somebody notices.
NOTICED = 2.0
WATCHED = 1.5
ASLEEP = 12.0
PAUSED = 8.0

SLOW_INSPECT = """
import subprocess, sys, time
from pathlib import Path
Path(sys.argv[1]).touch()
time.sleep(1)
sys.exit(subprocess.run(sys.argv[2:]).returncode)
"""


@pytest.fixture
def server(make_postgres: MakePostgres) -> PostgresServer:
    """A small server of the test's own."""
    return make_postgres(16, max_connections=40)


def cycles(daemon: Daemon) -> int:
    """How many checks there have been."""
    return len(daemon.said("cycle"))


def most_in(seconds: float) -> int:
    """How many checks there may be in this time at this pace, with some that were under way."""
    return int(seconds / PACE) + 5


def test_checks_go_on_whatever_the_clock_says(server: PostgresServer, tmp_path: Path, figure: Figure) -> None:
    """Given a daemon, when its wall clock jumps ahead, back and very far, then it checks at its usual pace.

    No burst makes up for the time that never passed, one check is late at most, memory stays, health is good.
    """
    clock = FakeClock(tmp_path)
    longest = 0.0
    with Daemon(tmp_path / "daemon", create_watch_role(server), env=clock.env) as daemon:
        daemon.wait_cycles(3)
        before = read_process(daemon.pid)
        for what, offset in JUMPS.items():
            clock.set(offset)
            jumped = time.monotonic()
            daemon.wait_cycles(2)
            longest = max(longest, time.monotonic() - jumped)
            seen, began = cycles(daemon), time.monotonic()
            time.sleep(WATCHED)
            daemon.wait(lambda seen=seen: cycles(daemon) >= seen + 2, f"checks that go on {what}")
            more, lasted = cycles(daemon) - seen, time.monotonic() - began
            assert more <= most_in(lasted), what
            health = daemon.run("health")
            assert health.returncode == 0, (what, health.stdout)
        after = read_process(daemon.pid)
        assert before is not None
        assert after is not None
        assert after.rss - before.rss < 20 * 1024
        assert len(daemon.said("cycle_late")) <= len(JUMPS)
        assert not daemon.said("cycle_failed")
        assert not daemon.said("level_changed")
        assert daemon.terminate() == 0
        assert daemon.errors == ""
    figure("checks again after a jump within", f"{longest:.1f} s")
    figure("memory gained by jumps of up to 174 years", f"{after.rss - before.rss} KiB")


def test_a_jump_neither_confirms_nor_ends_an_incident_and_makes_no_wait_longer(
    server: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    """Given a breach that must last, when the clock jumps ahead, then it must last all the same.

    When it jumps back in the middle of the incident, then the incident goes on; when it jumps ahead after
    relief, then the level is held for as long as the policy says.
    """
    clock = FakeClock(tmp_path)
    app, watch = create_app_role(server), create_watch_role(server)
    policy = ladder()
    policy |= {"levels": {"critical": {"for": "5s"}}, "clear": {"for": "5s"}}
    with Daemon(tmp_path / "daemon", watch, policy=policy, env=clock.env) as daemon:
        daemon.wait_cycles(2)
        with open_idle(app, 34):
            daemon.wait_for("level_pending", level="critical")
            pending = time.monotonic()
            clock.set(HOUR)
            daemon.wait_for("incident_opened")
            confirmed = time.monotonic() - pending
            assert confirmed > 2.5
            daemon.wait_for("action_finished")
            clock.set(-HOUR)
            daemon.wait_for("incident_relieved")
            relieved = time.monotonic()
            clock.set(30 * DAY)
            daemon.wait_for("incident_closed")
            held = time.monotonic() - relieved
            assert held > 2.5
        assert len(daemon.said("incident_opened")) == 1
        assert not daemon.said("cycle_failed")
    figure("confirmed after a `for:` of 5 s, the clock an hour ahead meanwhile", f"{confirmed:.1f} s")
    figure("closed after a `clear.for` of 5 s, the clock 30 days ahead meanwhile", f"{held:.1f} s")


def test_no_jump_refills_a_budget(server: PostgresServer, tmp_path: Path, figure: Figure) -> None:
    """Given a service that leaks on and has had its one restart in 30 minutes, when the clock jumps.

    Then it is not restarted again, whatever the clock says, and the jump is told.
    """
    clock = FakeClock(tmp_path)
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, heals_after=None)
    service = worker.config
    for what in ("restart", "inspect"):  # a service of another clock
        service["command"][what] = ["env", "--unset=LD_PRELOAD", *worker.command(what)]
    policy, config = ladder("worker", terminate=False), {"services": [service]}
    with Daemon(tmp_path / "daemon", watch, worker, policy=policy, config=config, env=clock.env) as daemon:
        daemon.wait_for("action_finished", action="restart")
        daemon.wait_for("incident_held")
        for number, what in enumerate(("an hour ahead", "to the year 2200", "back"), start=1):
            clock.set(JUMPS[what])
            daemon.wait_for("clock_jumped", times=number)
            daemon.wait_cycles(6, level="critical")
            assert worker.restarts == 1, what
        assert "restarted too recently" in daemon.said("incident_held")[-1]["because"]
        assert not daemon.said("cycle_failed")
        intended = [entry for entry in daemon.entries() if entry["action"]["kind"] == "restart_replica"]
        assert len(intended) == 1
    figure("restarts in three jumps of up to 174 years, with a limit of 1 per 30m", "1")


def test_a_pause_lasts_as_long_as_was_said(server: PostgresServer, tmp_path: Path, figure: Figure) -> None:
    """Given a critical database and a pause for some seconds, when its clock jumps ahead, or back.

    Then nothing is done before those seconds have really passed, and all is done after them; `plan` says how
    much of them is left.
    """
    clock = FakeClock(tmp_path)
    app, watch = create_app_role(server), create_watch_role(server)
    daemon = Daemon(tmp_path / "daemon", watch, policy=ladder(), env=clock.env)
    lasted: list[float] = []
    with daemon:
        for jump in (HOUR, -HOUR):
            done, ordered = len(daemon.said("action_finished")), time.monotonic()
            assert daemon.run("pause", "--for", "8s").returncode == 0
            with open_idle(app, 34):
                daemon.wait_for("incident_suspended", times=len(lasted) + 1)
                clock.set(jump)
                shown = daemon.run("plan", "--format", "text").stdout
                said = re.search(r"paused until \S+ \S+ UTC, [\d.]+s left\n", shown)
                assert said or time.monotonic() - ordered > PAUSED, shown
                daemon.wait_for("action_finished", times=done + 1, within=60)
                lasted.append(time.monotonic() - ordered)
            daemon.wait_for("incident_closed", times=len(lasted))
    assert min(lasted) >= PAUSED
    figure("a pause of 8 s, the clock an hour ahead and two hours back meanwhile", f"{max(lasted):.1f} s")


def test_a_daemon_that_slept_in_the_middle_of_a_cycle_does_nothing_that_is_out_of_date(
    server: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    """Given a full server and a daemon about to restart a service for it, when the machine sleeps right then.

    Then, as it wakes and the server is no longer full: nothing is restarted, one check at most is late,
    and no checks come to make up for those that were missed.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    marker, script = tmp_path / "looked", tmp_path / "inspect.py"
    script.write_text(SLOW_INSPECT)
    service = worker.config
    service["command"]["inspect"] = [sys.executable, str(script), str(marker), *worker.command("inspect")]
    policy = ladder("worker", terminate=False)
    config = {"services": [service]}
    with Daemon(tmp_path / "daemon", watch, worker, policy=policy, config=config) as daemon:
        with open_idle(app, 34) as sessions:
            wait_until(marker.exists, what="the look at the service")
            daemon.signal(signal.SIGSTOP)
        wait_until(lambda: not server.alive(sessions), what="the sessions to leave")
        before, late = cycles(daemon), len(daemon.said("cycle_late"))
        time.sleep(ASLEEP)
        daemon.signal(signal.SIGCONT)
        woke = time.monotonic()
        aged = daemon.wait_for("reading_aged")
        wait_until(lambda: cycles(daemon) > before + 1, what="checks")
        resumed = time.monotonic() - woke
        time.sleep(WATCHED)
        more, lasted = cycles(daemon) - before, time.monotonic() - woke
        daemon.wait_for("incident_closed")
        assert more <= most_in(lasted)
        assert len(daemon.said("cycle_late")) - late <= 1
        assert aged["seconds"] >= ASLEEP
        assert worker.restarts == 0
        assert daemon.entries() == []
        assert not daemon.said("cycle_failed")
    figure("asleep in the middle of a cycle for", f"{aged['seconds']:.0f} s")
    figure("checks again after waking within", f"{resumed:.1f} s")
    figure("late checks, restarts", "at most 1, 0")
