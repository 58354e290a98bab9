"""Sessions of containers that are gone, found by an audit and ended by its own statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core.audit.finding import Finding
from remediator.core.audit.sessions import tally
from tests.testbed.audited import Audited
from tests.testbed.bridge import postgres_on_bridge
from tests.testbed.daemon import Daemon
from tests.testbed.engine import BUSYBOX_IMAGE, ComposeProject, DockerEngine
from tests.testbed.missing import missing
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from docker.models.networks import Network

    from tests.conftest import MakeProject

# Logs in, runs a statement, and keeps the connection: all that a leaking client needs to do.
LEAKING_CLIENT = f"""
services:
  neighbour: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true}}
  api:
    image: "{BUSYBOX_IMAGE}"
    init: true
    stop_grace_period: 1m
    command:
      - sh
      - -c
      - |
        (
          printf '\\0\\0\\0\\044\\0\\003\\0\\0user\\0app\\0database\\0postgres\\0\\0'
          printf 'Q\\0\\0\\0\\015SELECT 1\\0'
          sleep 3600
        ) | nc HOST PORT
"""


class Client:
    """A container with one session, on a network of its own."""

    def __init__(self, engine: DockerEngine, project: ComposeProject) -> None:
        self.container = project.container("api")
        self.network: Network = engine.client.networks.get(f"{project.name}_default")

    def cut_off(self) -> None:
        """Take its network away: the server hears nothing of it, and keeps the session."""
        self.network.disconnect(self.container, force=True)


@pytest.fixture
def audited(
    docker_engine: DockerEngine, postgres_versions: Mapping[int, Path], tmp_path: Path
) -> Iterator[Audited]:
    """A server that containers can reach."""
    if 16 not in postgres_versions:
        missing("no PostgreSQL 16 server binaries (make testbed installs them)")
    server = postgres_on_bridge(docker_engine, 16, postgres_versions[16])
    (server.directory / "bridge_hba.conf").write_text("local all all trust\nhost all all all trust\n")
    with server:
        app, watch = create_app_role(server), create_watch_role(server)
        config = {"docker": {"host": docker_engine.url}}
        yield Audited(server, Daemon(tmp_path / "d", watch, config=config), app)


@pytest.fixture
def client(audited: Audited, docker_engine: DockerEngine, compose_project: MakeProject) -> Client:
    """The only client of that server, of the service `api`."""
    server = audited.server
    project = compose_project(LEAKING_CLIENT.replace("HOST", server.host).replace("PORT", str(server.port)))
    api = {"name": "api", "compose": {"project": project.name, "service": "api"}}
    audited.daemon.config["services"] = [api]
    audited.daemon.write_config()
    wait_until(lambda: ("api", 1) in owners(audited), what="the client's session")
    return Client(docker_engine, project)


def test_sessions_of_a_container_that_is_gone(audited: Audited, client: Client) -> None:
    """Cut off from its network, it has left a session behind."""
    assert not audited.found("orphans")
    client.cut_off()
    audited.mended(audited.seen("orphans"))


def test_who_has_an_orphans_address_now_lives(
    audited: Audited, client: Client, docker_engine: DockerEngine
) -> None:
    """Given a container that is gone, when another one has its address, then only its own session goes.

    The statement was printed before there was another one, or after.
    """
    client.cut_off()
    early = audited.seen("orphans")
    ((orphan, address, began),) = sessions(audited)
    wait_until(
        lambda: datetime.now(UTC) - began > timedelta(seconds=4),
        what="the clocks' difference to matter no more",
    )
    successor = docker_engine.client.containers.run(
        BUSYBOX_IMAGE,
        client.container.attrs["Config"]["Cmd"],
        network=client.network.name,
        detach=True,
        init=True,
    )
    try:
        wait_until(lambda: len(sessions(audited)) == 2, what="the successor's session")
        assert {found for _, found, _ in sessions(audited)} == {address}
        late = audited.seen("orphans")
        assert pids(audited, early) == pids(audited, late) == {orphan}
        (alive,) = {pid for pid, _, _ in sessions(audited)} - {orphan}
        audited.swept(late, ends=[orphan], lives=[alive])
        audited.gone("orphans")
    finally:
        successor.remove(force=True)


def owners(audited: Audited) -> tuple[tuple[str, int], ...]:
    """How many sessions each owner has."""
    return tally(audited.report().facts.sample, lambda group: group.owner.label)


def pids(audited: Audited, finding: Finding) -> set[int]:
    """Whom the printed statements would end now."""
    with audited.server.superuser() as person:
        return {
            pid
            for statement in finding.statements
            for (pid,) in person.execute(
                statement.replace("SELECT pg_terminate_backend(pid)", "SELECT pid").encode()
            ).fetchall()
        }


def sessions(audited: Audited) -> list[tuple[int, str, datetime]]:
    """The clients' sessions: pid, address, when it began."""
    found = audited.server.rows(
        "SELECT pid, host(client_addr), backend_start FROM pg_stat_activity"
        " WHERE usename = 'app' AND state = 'idle'"
    )
    return [(pid, address, began) for pid, address, began in found]
