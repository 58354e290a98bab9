"""Sessions that do not go away, and thousands of them."""

from __future__ import annotations

import re
import resource
import statistics
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes
from tests.testbed.elapsed import Stopwatch
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakePostgres
    from tests.faults.conftest import Figure

SIZE, MANY = 1500, 1250
SLACK_MB = 60
# What the server logs of each guarded statement, with the pid as its first parameter.
SIGNALLED = re.compile(r"pg_terminate_backend.*?DETAIL:  [Pp]arameters: \$1 = '(\d+)'", re.DOTALL)


def test_a_session_that_does_not_go_away(make_postgres: MakePostgres, tmp_path: Path, figure: Figure) -> None:
    """One backend hangs in the kernel, so to speak, and takes no notice.

    Given a critical server, one of whose oldest idle sessions is frozen
    When it is terminated with the others
    Then it is unconfirmed in the end, was signalled exactly once, and the others are confirmed.
    """
    server = make_postgres(16, max_connections=40)
    app, watch = create_app_role(server), create_watch_role(server)
    server.rows("ALTER ROLE remediator SET log_statement = 'all'")
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    with open_idle(app, 34) as leaked:
        server.freeze_backend(leaked[0])
        with Daemon(tmp_path / "d", watch, worker, policy=ladder("worker")) as daemon:
            begun = Stopwatch()
            daemon.wait_for("action_finished", outcome="unconfirmed")
            figure("unconfirmed after", str(begun))
            daemon.wait_for("incident_closed")
            daemon.wait_cycles(10)
            assert leaked[0] in server.alive(leaked)
            told = outcomes(daemon.entries())
        signalled = SIGNALLED.findall(server.log)
    assert signalled.count(str(leaked[0])) == 1
    assert len(signalled) == len(set(signalled)) == len(told)
    assert told.count(("terminate", "unconfirmed")) == 1
    assert told.count(("terminate", "confirmed")) == len(told) - 1
    assert worker.restarts == 0
    figure("signals to it", str(signalled.count(str(leaked[0]))))


def memory(pid: int) -> float:
    """Resident memory of a process in megabytes."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


@contextmanager
def enough_files(number: int) -> Iterator[None]:
    """Let this process open so many files more than it may by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(number * 2, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_thousands_of_sessions(make_postgres: MakePostgres, tmp_path: Path, figure: Figure) -> None:
    """A big server fills up with idle sessions.

    Given a server with 1,250 idle sessions, which is critical
    When the daemon watches it, and terminates half of them
    Then a cycle stays as short as it is, memory grows by what their records need, and each has an outcome.
    """
    server = make_postgres(16, max_connections=SIZE, reserved_connections=2)
    create_app_role(server)
    watch = create_watch_role(server, reserved=True)
    local = f"host={server.directory} port={server.port} user=app dbname=postgres"
    with enough_files(MANY), Daemon(tmp_path, watch, policy=ladder()) as daemon:
        daemon.wait_cycles(5)
        daemon.run("pause")
        small = memory(daemon.pid)
        with open_idle(local, MANY) as leaked:
            daemon.wait_for("incident_opened")
            watching = [line["seconds"] for line in daemon.wait_cycles(10)]
            figure(f"cycle with {MANY} sessions, median", f"{statistics.median(watching) * 1000:.0f} ms")
            resumed = Stopwatch()
            daemon.run("resume")
            daemon.wait_for("incident_relieved", within=120)
            ended = len(leaked) - len(server.alive(leaked))
            figure(f"{ended} sessions terminated and verified after", str(resumed))
            grown = memory(daemon.pid)
            figure("memory of the daemon", f"{small:.0f} MB with few sessions, {grown:.0f} MB at the end")
            assert grown - small < SLACK_MB
            assert statistics.median(watching) < 2
            done = [result for _, result in outcomes(daemon.entries())]
            assert done == ["confirmed"] * ended
            assert ended > MANY // 3
