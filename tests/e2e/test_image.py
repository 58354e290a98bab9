"""The image that the Dockerfile makes, on the local base: what is in it, and how it lives and ends."""

from __future__ import annotations

import tarfile
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.testbed.bridge import postgres_on_bridge
from tests.testbed.distribution import ROOT
from tests.testbed.engine import BASE_IMAGE, remove_container
from tests.testbed.images import build_image
from tests.testbed.roles import PASSWORD, create_watch_role
from tests.testbed.stack import REMEDIATOR_IMAGE
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from docker.models.containers import Container

    from tests.testbed.engine import DockerEngine
    from tests.testbed.postgres import PostgresServer

USER = "10001:10001"
LARGEST = 80_000_000
VERSION = 18

CONFIG = """\
version: 1
databases:
  - dsn: postgresql://remediator@{host}:{port}/postgres
    password_file: /run/secrets/remediator_password
policies:
  - name: default
    check_every: {{normal: 1s, monitor: 1s, alert: 1s, critical: 1s}}
"""


@pytest.fixture(scope="module")
def image(docker_engine: DockerEngine) -> str:
    """The image, built from the tree; what has not changed comes from the engine's cache."""
    assert docker_engine is not None  # it builds
    build_image(REMEDIATOR_IMAGE, ROOT, BASE_IMAGE)
    return REMEDIATOR_IMAGE


@pytest.fixture(scope="module")
def server(docker_engine: DockerEngine, postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A PostgreSQL server that containers can reach."""
    running = postgres_on_bridge(docker_engine, VERSION, postgres_versions[VERSION])
    try:
        running.start()
        create_watch_role(running)
        yield running
    finally:
        running.destroy()


@pytest.fixture
def mounts(server: PostgresServer, tmp_path: Path) -> list[str]:
    """A config and a password for the server, as volumes."""
    tmp_path.chmod(0o755)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(host=server.host, port=server.port))
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o444)
    return [f"{config}:/etc/remediator/config.yaml:ro", f"{password}:/run/secrets/remediator_password:ro"]


@contextmanager
def _container(engine: DockerEngine, image: str, *command: str, **options: Any) -> Iterator[Container]:
    """Run a container as the Compose example does: nothing writable but the volume and /tmp, no rights."""
    container = engine.client.containers.run(
        image,
        list(command) or None,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        **options,
    )
    try:
        yield container
    finally:
        remove_container(container)


def _files(engine: DockerEngine, image: str) -> set[str]:
    """Every file of an image, directories left out."""
    container = engine.client.containers.create(image)
    try:
        with tempfile.TemporaryFile() as exported:
            # The stubs call it a string; it is a stream of bytes.
            exported.writelines(cast("Iterator[bytes]", container.export()))
            exported.seek(0)
            with tarfile.open(fileobj=exported) as archive:
                return {f"/{member.name}" for member in archive if not member.isdir()}
    finally:
        remove_container(container)


def _health(container: Container) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def _shell(container: Container, *argv: str) -> tuple[int, str]:
    code, output = container.exec_run(list(argv))
    assert code is not None
    assert isinstance(output, bytes)
    return code, output.decode()


def test_the_image_runs_as_nobody_in_particular(docker_engine: DockerEngine, image: str) -> None:
    """The user is a number, so that Kubernetes can tell that it is not root; so is what starts."""
    config = docker_engine.client.images.get(image).attrs["Config"]
    assert config["User"] == USER
    assert config["Entrypoint"] == ["remediator"]
    assert config["Cmd"] == ["run"]
    assert config["Healthcheck"]["Test"] == ["CMD", "remediator", "health"]
    assert list(config["Volumes"]) == ["/var/lib/remediator"]
    out = docker_engine.client.containers.run(
        image, ["-c", "id -u; id -g; stat -c '%a %u' /var/lib/remediator"], entrypoint=["sh"], remove=True
    )
    assert out.decode().split() == ["10001", "10001", "700", "10001"]


def test_the_image_is_small(docker_engine: DockerEngine, image: str) -> None:
    """Remediator and what it needs add little to the base."""
    sizes = [docker_engine.client.images.get(name).attrs["Size"] for name in (image, BASE_IMAGE)]
    assert 0 < sizes[0] - sizes[1] < LARGEST


def test_nothing_is_in_the_image_that_does_not_run(docker_engine: DockerEngine, image: str) -> None:
    """No installer, no tests, no sources beside the installed package, no key, nothing left of the build."""
    added = _files(docker_engine, image) - _files(docker_engine, BASE_IMAGE)
    assert any(path.endswith("/remediator/daemon.py") for path in added)
    outside = ("/opt/remediator/", "/etc/", "/var/log/")
    assert [path for path in added if not path.startswith(outside)] == []
    installers = ("/pip/", "/setuptools/", "/wheel/", "/bin/pip", "/ensurepip/")
    assert [path for path in added if any(name in path for name in installers)] == []
    [package] = [path for path in added if path.endswith("/site-packages/remediator/py.typed")]
    site = package.removesuffix("remediator/py.typed")
    assert [path for path in added if path.startswith((f"{site}tests/", f"{site}remediator/tests/"))] == []
    # /etc and /var/log hold the new user's entries and nothing else.
    allowed = {f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")}
    allowed |= {f"/etc/{name}" for name in ("subuid", "subgid")} | {"/var/log/faillog", "/var/log/lastlog"}
    assert {path for path in added if path.startswith(("/etc/", "/var/log/"))} <= allowed


def test_the_build_leaves_no_secret_behind(docker_engine: DockerEngine, image: str) -> None:
    """Neither the variables nor the steps of the build hold anything that is not public."""
    found = docker_engine.client.images.get(image)
    base = docker_engine.client.images.get(BASE_IMAGE).attrs["Config"]["Env"] or []
    added = {entry.split("=")[0] for entry in found.attrs["Config"]["Env"] if entry not in base}
    assert added == {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    steps = " ".join(step["CreatedBy"] for step in found.history()).lower()
    assert not [word for word in ("password", "token", "secret") if word in steps]


def test_without_a_daemon_it_is_unhealthy(docker_engine: DockerEngine, image: str, mounts: list[str]) -> None:
    """`remediator health` says so itself when no cycle was ever completed."""
    options = {"entrypoint": ["sleep"], "volumes": mounts}
    with _container(docker_engine, image, "60", **options) as container:
        code, output = _shell(container, "remediator", "health")
    assert (code, output.split(":")[0]) == (1, "missing")


def test_with_a_daemon_it_becomes_healthy(
    docker_engine: DockerEngine, image: str, mounts: list[str], server: PostgresServer
) -> None:
    """The image's own health check, run by the engine, sees the cycles; and it sees them stop."""
    second = 1_000_000_000
    check = {
        "test": ["CMD", "remediator", "health"],
        "interval": second,
        "timeout": 10 * second,
        "retries": 1,
    }
    with _container(docker_engine, image, volumes=mounts, healthcheck=check) as container:
        wait_until(lambda: _health(container) == "healthy", what="the container to be healthy", every=0.2)
        assert server.rows("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'remediator'") == [
            (True,)
        ]
        code, output = _shell(container, "remediator", "check", "--format=json")
        assert code == 0, output
        container.kill("SIGSTOP")
        code, output = _shell(container, "touch", "--date=1 hour ago", "/var/lib/remediator/heartbeat")
        assert code == 0, output
        wait_until(lambda: _health(container) == "unhealthy", what="the standstill to show", every=0.2)


def test_docker_stop_ends_it_cleanly(docker_engine: DockerEngine, image: str, mounts: list[str]) -> None:
    """As process 1 it takes the signal, and ends by itself long before the engine would kill it."""
    with _container(docker_engine, image, volumes=mounts) as container:
        wait_until(lambda: b'"event": "cycle"' in container.logs(), what="a cycle", every=0.2)
        container.stop(timeout=30)
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0
        assert not container.attrs["State"]["OOMKilled"]
        assert '"event": "daemon_stopping"' in container.logs().decode()


def test_a_wrong_config_ends_it_with_its_own_code(
    docker_engine: DockerEngine, image: str, tmp_path: Path
) -> None:
    """Without a config the container ends with 78 and says why in one line."""
    tmp_path.chmod(0o755)
    (tmp_path / "config.yaml").write_text("version: 1\ndatabase: []\n")
    volumes = [f"{tmp_path / 'config.yaml'}:/etc/remediator/config.yaml:ro"]
    with _container(docker_engine, image, volumes=volumes) as container:
        assert container.wait(timeout=60)["StatusCode"] == 78
        assert "/etc/remediator/config.yaml:2:1:" in container.logs().decode()
