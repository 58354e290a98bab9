"""The network between us and PostgreSQL: black holes, losses, resets, a trickle, in a real namespace."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.testbed.daemon import Daemon, LeakingService, Record, ladder, outcomes
from tests.testbed.elapsed import Stopwatch
from tests.testbed.namespaces import Namespace, RemoteServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.faults.conftest import Figure
    from tests.testbed.postgres import PostgresServer

VERSION = 16
DEADLINES = 1.0 + 1.0 + 1.0  # of a query, of a connect, of a look at sessions, in the daemon's config
SLACK = 20.0
LOST, TRICKLE = 0.3, 3000


@pytest.fixture(scope="module")
def cable() -> Iterator[Namespace]:
    """A cable to a namespace, shared by this module's tests."""
    with Namespace() as namespace:
        yield namespace


@pytest.fixture(scope="module")
def remote(cable: Namespace, postgres_versions: Mapping[int, Path]) -> Iterator[RemoteServer]:
    """A server at the other end of the cable."""
    server = RemoteServer(VERSION, postgres_versions[VERSION], cable, max_connections=40)
    try:
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.fixture(autouse=True)
def healed(cable: Namespace) -> Iterator[None]:
    """Let everything pass again after each test."""
    yield
    cable.heal()


def pids(entries: list[Record], result: str = "") -> set[int]:
    """The sessions that entries are about, of all or of those with this result."""
    wanted = [entry for entry in entries if not result or entry["outcome"]["result"] == result]
    return {entry["action"]["session"]["pid"] for entry in wanted if "session" in entry["action"]}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda cable: cable.drop(), id="black-hole"),
        pytest.param(lambda cable: cable.reset(), id="resets"),
        pytest.param(lambda cable: cable.slow(TRICKLE), id="trickle"),
    ],
)
def test_a_network_that_fails_is_no_reason_to_act(
    fault: Callable[[Namespace], None],
    cable: Namespace,
    remote: RemoteServer,
    pg16: PostgresServer,
    tmp_path: Path,
    figure: Figure,
) -> None:
    """Nothing, or next to nothing, comes through.

    Given a database behind a cable that is critical, not yet confirmed, and another one next to us
    When the cable goes bad
    Then that is noticed, cycles end at their deadline and those of the other go on, nothing is done,
    and when the cable is mended the database is watched again.
    """
    local = f"host={remote.directory} port={remote.port} user=app dbname=postgres"
    create_app_role(remote)
    worker = LeakingService("worker", tmp_path / "worker", local, limit=0)
    dsns = {"far": create_watch_role(remote), "near": create_watch_role(pg16)}
    policy = {**ladder("worker"), "levels": {"critical": {"for": "1h"}}}
    with open_idle(local, 34), Daemon(tmp_path / "d", dsns, worker, policy=policy) as daemon:
        daemon.wait_for("level_pending", database="far", level="critical")
        broken = Stopwatch()
        fault(cable)
        daemon.wait_for("evidence_lost", database="far")
        figure("noticed after", str(broken))
        bad = daemon.wait_cycles(3, database="far", unknown=True)
        assert max(line["seconds"] for line in bad) < DEADLINES + SLACK
        assert not any(line["unknown"] for line in daemon.wait_cycles(3, database="near"))
        figure("longest cycle meanwhile", f"{max(line['seconds'] for line in bad):.1f} s")
        cable.heal()
        mended = Stopwatch()
        daemon.wait_for("evidence_regained", database="far")
        figure("watched again after", str(mended))
        daemon.wait_cycles(3, database="far", unknown=False)
        assert not daemon.said("server_restarted")
        assert not daemon.said("server_changed")
        assert not daemon.said("cycle_failed")
        assert worker.restarts == 0
        assert daemon.entries() == []


def test_losses_slow_a_remedy_and_spoil_none(
    cable: Namespace, remote: RemoteServer, tmp_path: Path, figure: Figure
) -> None:
    """Packets are lost on their way.

    Given a database behind a cable that loses 30 % of all packets to it
    When it is critical
    Then it is remedied all the same, and what was recorded is what happened.
    """
    create_app_role(remote)
    local = f"host={remote.directory} port={remote.port} user=app dbname=postgres"
    with Daemon(tmp_path, create_watch_role(remote), policy=ladder()) as daemon:
        cable.lose(LOST)
        begun = Stopwatch()
        with open_idle(local, 34) as leaked:
            daemon.wait_for("action_finished", outcome="confirmed", within=90)
            figure(f"terminated at {LOST:.0%} loss after", str(begun))
            unknown = len(daemon.said("cycle", unknown=True))
            figure("cycles that left the level unknown", f"{unknown} of {len(daemon.said('cycle'))}")
            cable.heal()
            daemon.wait_for("incident_closed", within=60)
            entries = daemon.entries()
            gone = set(leaked) - remote.alive(leaked)
        assert gone <= pids(entries)
        assert pids(entries, "confirmed") <= gone


def test_the_network_goes_in_the_middle_of_a_step(
    cable: Namespace, remote: RemoteServer, tmp_path: Path, figure: Figure
) -> None:
    """Sessions are being terminated when every packet is swallowed.

    Given a database behind a cable, and a step that has just begun
    When the cable goes dead, and comes back before the outcome is due
    Then nothing more is done in the dark, and each intent has one outcome, which is what the server shows.
    """
    create_app_role(remote)
    local = f"host={remote.directory} port={remote.port} user=app dbname=postgres"
    worker = LeakingService("worker", tmp_path / "worker", local, limit=0)
    policy = ladder("worker")
    with open_idle(local, 34) as leaked:
        # One that does not go at once, so that the cable is cut before all outcomes are known.
        remote.freeze_backend(leaked[0])
        with Daemon(tmp_path / "d", create_watch_role(remote), worker, policy=policy) as daemon:
            daemon.wait_for("action_intended")
            cable.drop()
            broken = Stopwatch()
            daemon.wait_for("evidence_lost")
            figure("noticed after", str(broken))
            daemon.wait_cycles(2, unknown=True)
            assert worker.restarts == 0
            cable.heal()
            daemon.wait_for("evidence_regained")
            remote.thaw()
            daemon.wait(
                lambda: len(daemon.said("action_finished")) == len(daemon.said("action_intended")), "outcomes"
            )
            daemon.wait_for("incident_closed")
            told = outcomes(daemon.entries())
            gone = set(leaked) - remote.alive(leaked)
            confirmed = pids(daemon.entries(), "confirmed")
        counted = Counter(str(result) for what, result in told if what == "terminate")
        figure("outcomes", ", ".join(f"{number} {result}" for result, number in sorted(counted.items())))
        assert confirmed <= gone
        assert set(counted) <= {"confirmed", "unconfirmed", "unknown"}
