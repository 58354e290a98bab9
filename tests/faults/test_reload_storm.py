"""A thousand requests to read the config anew, while the file is broken and the database is critical."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.conftest import MakePostgres
from tests.faults.conftest import Figure
from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes, wait_for_sessions
from tests.testbed.roles import create_app_role, create_watch_role

SIGNALS = 1000
MISTAKES = 300


def test_a_thousand_reloads_of_a_broken_file(
    make_postgres: MakePostgres, tmp_path: Path, figure: Figure
) -> None:
    """Given a restart under way, when a thousand SIGHUPs come and the file has hundreds of mistakes.

    Then the restart is done and verified, checks go on, and the file is read a few times, not a thousand.
    """
    server = make_postgres(16, max_connections=40)
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", tmp_path / "worker", app, limit=33, takes=1.0)
    with Daemon(tmp_path / "daemon", watch, worker, policy=ladder("worker", terminate=False)) as daemon:
        wait_for_sessions(server, "worker", 33)
        daemon.wait_for("action_intended")
        sound = daemon.config_file.read_text()
        daemon.config |= {f"mistake_{number}": 1 for number in range(MISTAKES)}
        daemon.write_config()
        for number in range(SIGNALS):
            daemon.signal(signal.SIGHUP)
            if number % 20 == 0:
                time.sleep(0.02)
        daemon.wait_for("incident_closed")
        daemon.wait_cycles(3)
        daemon.config_file.write_text(sound)  # for the commands that ask what was done
        rejected = daemon.said("config_rejected")
        assert len(rejected[0]["because"]) > 100  # the first hundred, and how many more there are
        assert 1 <= len(rejected) < SIGNALS / 20
        assert not daemon.said("cycle_failed")
        assert (worker.restarts, worker.finished) == (1, 1)
        assert outcomes(daemon.entries()) == [("worker", "confirmed")]
        figure(f"{SIGNALS} SIGHUPs: files read, restarts", f"{len(rejected)}, 1")
