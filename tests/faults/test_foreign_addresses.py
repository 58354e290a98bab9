"""Addresses that mean other containers than the engine says, and an engine that does not say any more."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack, contextmanager
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.testbed.composed import VERIFY, started_at
from tests.testbed.daemon import Daemon
from tests.testbed.engine import BUSYBOX_IMAGE, ComposeProject, DockerEngine
from tests.testbed.namespaces import Inhabited, Namespace, Place, RemoteServer, Tunnel, inside
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sockets import Forwarder
from tests.testbed.web import ask, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import MakeProject
    from tests.faults.conftest import Figure

SLOTS, LEAK = 20, 15  # of 20 slots an ordinary role gets 17; we need one, and one for the probe
PORT = 5432
COMPOSE = f"""
x-sleep: &sleep {{image: "{BUSYBOX_IMAGE}", command: sleep 3600, stop_signal: SIGKILL}}
services:
  db: {{<<: *sleep, ports: ["127.0.0.1::{PORT}"]}}
  api: {{<<: *sleep}}
networks:
  default: {{ipam: {{config: [{{subnet: SUBNET}}]}}}}
"""
CULPRIT = {"service": "culprit", "among": ["api"], "older_than": "300ms"}


@pytest.fixture
def project(compose_project: MakeProject) -> ComposeProject:
    """A project with a service, and a container for a database."""
    return compose_project(COMPOSE.replace("SUBNET", f"10.{77 + secrets.randbelow(100)}.7.0/24"))


@contextmanager
def leaking(place: Place, dsn: str, number: int = LEAK) -> Iterator[None]:
    """Hold idle sessions from somewhere; it is no error when they are ended."""
    with ExitStack() as stack:
        for _ in range(number):
            session = inside(place, lambda: psycopg.connect(dsn, autocommit=True))
            stack.callback(session.close)
            session.execute("SELECT 1")
        yield


def guard(
    directory: Path, dsn: str, project: ComposeProject, host: str = "", port: int | None = None
) -> Daemon:
    """An enforcing daemon that restarts nothing but the culprit; it does not run yet."""
    api = {"name": "api", "compose": {"project": project.name, "service": "api"}, "verify": VERIFY}
    config: dict[str, object] = {"docker": {"host": host or project.engine.url}, "services": [api]}
    if port is not None:
        config["web"] = {"listen": f"127.0.0.1:{port}"}
    ladder = {"remediate": {"steps": [{"restart": CULPRIT}]}}
    return Daemon(directory, dsn, policy=ladder, config=config)


def at(dsn: str, host: str, port: int) -> str:
    """The same server by another way."""
    parts = urlsplit(dsn)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@{host}:{port}").geturl()


@pytest.mark.parametrize("how", ["network", "tunnel"])
def test_another_machines_containers_frame_no_service(
    how: str,
    project: ComposeProject,
    postgres_versions: Mapping[int, Path],
    tmp_path: Path,
) -> None:
    """An address that two machines have says nothing.

    Given a service's container, and a database on another machine where a client with the container's
    very address leaks, when the database's slots run short, then the service is not taken for the culprit
    and not restarted, its pattern-less sessions belong to nobody, and it is said why.
    """
    container = project.container("api")
    before, address, port = started_at(container), Inhabited(container).far, free_port()
    with Namespace() as elsewhere:
        elsewhere.inside("ip", "addr", "add", f"{address}/32", "dev", "lo")
        both = f"{elsewhere.far},{address}"
        bin_dir = postgres_versions[16]
        with (
            RemoteServer(16, bin_dir, elsewhere, max_connections=SLOTS, listen_addresses=both) as server,
            Tunnel(elsewhere, address, server.port) as tunnel,
        ):
            app = at(create_app_role(server), address, server.port)
            watch = create_watch_role(server)
            if how == "tunnel":
                watch = at(watch, "127.0.0.1", tunnel.port)
            with guard(tmp_path, watch, project, port=port) as daemon, leaking(elsewhere, app):
                held = daemon.wait_for("incident_held")
                (lost,) = daemon.said("directory_lost")
                assert lost["because"] in held["because"]
                owners = daemon.wait_cycles(3)[-1]["owners"]
                assert owners.get("unattributed", 0) >= LEAK
                assert "api" not in owners
                assert lost["because"] in unescape(ask(port, "/").body)
            assert daemon.entries() == []
    assert started_at(container) == before


def test_a_published_port_leads_to_the_servers_own_containers(
    docker_engine: DockerEngine,
    project: ComposeProject,
    postgres_versions: Mapping[int, Path],
    tmp_path: Path,
    figure: Figure,
) -> None:
    """The caution costs nothing where the server is shown to be beside the engine.

    Given a database in a container that is watched from the host through its published port, and an engine
    that does not answer, when a service of the same network leaks, then nobody is blamed, and that is said;
    once the engine answers, the service is the culprit and is restarted; and when the engine has been
    silent again for a minute, nobody is blamed any more by what it said before.
    """
    place, container = Inhabited(project.container("db")), project.container("api")
    silent: list[str] = []
    path = tmp_path / "engine.sock"
    server = RemoteServer(16, postgres_versions[16], place, max_connections=SLOTS)
    server.port = PORT
    with server:
        published = project.container("db").attrs["NetworkSettings"]["Ports"][f"{PORT}/tcp"][0]["HostPort"]
        app, watch = create_app_role(server), at(create_watch_role(server), "127.0.0.1", int(published))
        daemon = guard(tmp_path / "d", watch, project, f"unix://{path}")
        with daemon, leaking(Inhabited(container), app):
            assert "there is no such socket" in daemon.wait_for("directory_lost")["because"]
            daemon.wait_for("incident_held")
            assert "api" not in daemon.wait_cycles(3)[-1]["owners"]
            before, begun = started_at(container), time.monotonic()

            with Forwarder(path, docker_engine.url, swallow=lambda _: bool(silent)):
                daemon.wait_for("directory_regained")
                figure("told again after the engine's return", f"{time.monotonic() - begun:.1f} s")
                daemon.wait_for("action_finished", outcome="confirmed")
                assert started_at(container) != before
                # What the first life of the container has left behind is cut off from us, and the server's.
                server.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
                with leaking(Inhabited(container), app, 3):
                    daemon.wait(
                        lambda: daemon.wait_cycles(1)[-1]["owners"].get("api") == 3, "its new sessions"
                    )
                    silent.append("now")
                    begun = time.monotonic()
                    daemon.wait_for("directory_lost", times=2, within=180)
                    figure("not believed any more after", f"{time.monotonic() - begun:.1f} s of silence")
                    assert "api" not in daemon.wait_cycles(3)[-1]["owners"]
