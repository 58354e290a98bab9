"""Fixtures that give tests real servers and engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import settings

from tests.testbed import engine as docker_engines
from tests.testbed.browser import CHROMIUM, chromium
from tests.testbed.engine import ComposeProject, DockerEngine
from tests.testbed.environment import drop_inherited_settings
from tests.testbed.figures import Figures
from tests.testbed.missing import missing
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import PostgresServer
from tests.testbed.prometheus import Prometheus, programs
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.systemd import SystemdContainer
from tests.testbed.workers import longest_first

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import Browser

# What the fixtures of these names need is what the marks say, so that `-m "not docker"` works.
_MARK_OF_FIXTURE = {
    "postgres_versions": "postgres",
    "docker_engine": "docker",
    "systemd_container": "systemd",
    "prometheus": "prometheus",
    "browser": "browser",
}


def pytest_configure(config: pytest.Config) -> None:
    """Start from a known environment, without a clock on single examples: a busy machine proves nothing."""
    drop_inherited_settings()
    settings.register_profile("unhurried", deadline=None)
    settings.load_profile("unhurried")
    config.pluginmanager.register(Figures())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with the real parts that its fixtures need, and put them in order for workers."""
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        for name in set(names) & set(_MARK_OF_FIXTURE):
            item.add_marker(_MARK_OF_FIXTURE[name])
    if hasattr(config, "workerinput"):
        longest_first(items)


class MakePostgres(Protocol):
    """Starts a server with settings of its own, for one test."""

    def __call__(self, version: int = 16, **settings: str | int) -> PostgresServer:
        """Start a server of a major version, for example with `max_connections=20`."""


class MakeProject(Protocol):
    """Starts a Compose project for one test."""

    def __call__(self, compose_yaml: str, *, up: bool = True) -> ComposeProject:
        """Write `compose.yaml`, start the services unless `up` is false, and return the project."""


@pytest.fixture(scope="session")
def postgres_versions() -> Mapping[int, Path]:
    """The `bin` directories of the PostgreSQL servers on this machine; one that is missing skips the test."""
    return postgres_binaries()


@pytest.fixture(scope="module")
def server(postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A small PostgreSQL 16, of 40 slots, shared by the tests of a module."""
    with PostgresServer(16, postgres_versions[16], {"max_connections": 40}) as running:
        yield running


@pytest.fixture
def app(server: PostgresServer) -> str:
    """The DSN that applications use on the small server."""
    return create_app_role(server)


@pytest.fixture
def watch(server: PostgresServer) -> str:
    """The DSN that remediator uses on the small server."""
    return create_watch_role(server)


@pytest.fixture(scope="module")
def pg15(postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A running PostgreSQL 15, shared by the tests of a module."""
    with PostgresServer(15, postgres_versions[15]) as server:
        yield server


@pytest.fixture(scope="module")
def pg16(postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A running PostgreSQL 16, shared by the tests of a module."""
    with PostgresServer(16, postgres_versions[16]) as server:
        yield server


@pytest.fixture(scope="module")
def pg18(postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A running PostgreSQL 18, shared by the tests of a module."""
    with PostgresServer(18, postgres_versions[18]) as server:
        yield server


@pytest.fixture(scope="module", params=["pg15", "pg16", "pg18"])
def postgres(request: pytest.FixtureRequest, postgres_versions: Mapping[int, Path]) -> PostgresServer:
    """A running server, shared by the tests of a module; each test runs once for each version."""
    assert (
        postgres_versions is not None
    )  # asked for here so that the test's mark is known when it is collected
    server: PostgresServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def make_postgres(postgres_versions: Mapping[int, Path]) -> Iterator[MakePostgres]:
    """Start servers with settings of their own; they end with the test."""
    servers: list[PostgresServer] = []

    def make(version: int = 16, **settings: str | int) -> PostgresServer:
        server = PostgresServer(version, postgres_versions[version], settings)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.destroy()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """The Docker Engine of this machine."""
    found = docker_engines.connect()
    if found is None:
        missing(f"no Docker Engine answers on {docker_engines.SOCKET} (make testbed starts one)")
    yield found
    found.client.close()


@pytest.fixture
def compose_project(docker_engine: DockerEngine, tmp_path: Path) -> Iterator[MakeProject]:
    """Start Compose projects; everything of theirs is removed with the test."""
    projects: list[ComposeProject] = []

    def make(compose_yaml: str, *, up: bool = True) -> ComposeProject:
        project = ComposeProject(docker_engine, tmp_path / f"project{len(projects)}", compose_yaml)
        projects.append(project)
        if up:
            project.up()
        return project

    yield make
    for project in projects:
        project.remove()


@pytest.fixture
def systemd_container(docker_engine: DockerEngine) -> Iterator[SystemdContainer]:
    """A container with a booted systemd."""
    container = SystemdContainer(docker_engine)
    yield container
    container.remove()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that is not started yet, and its tool."""
    found = programs()
    if found is None:
        missing("no prometheus and promtool (make testbed installs them)")
    server = Prometheus(*found, tmp_path / "prometheus")
    yield server
    server.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    if not CHROMIUM.exists():
        missing(f"no {CHROMIUM} (make testbed installs it)")
    with chromium() as running:
        yield running
