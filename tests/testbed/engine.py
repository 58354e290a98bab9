"""The real Docker Engine, and Compose projects on it that never outlive their test."""

from __future__ import annotations

import subprocess
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from docker.models.containers import Container

SOCKET = "unix:///var/run/docker.sock"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"

BASE_IMAGE = "remediator-test/base:bookworm"
BUSYBOX_IMAGE = "remediator-test/busybox:1"
SYSTEMD_IMAGE = "remediator-test/systemd:bookworm"


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """An engine that has answered."""

    url: str
    client: docker.DockerClient


def connect() -> DockerEngine | None:
    """The engine behind the standard socket, or None when none answers there."""
    try:
        client = docker.DockerClient(base_url=SOCKET, timeout=60)
    except DockerException:
        return None
    try:
        client.ping()
    except (DockerException, OSError):
        client.close()
        return None
    return DockerEngine(SOCKET, client)


class ComposeProject:
    """One Compose project with a name of its own."""

    def __init__(self, engine: DockerEngine, directory: Path, compose_yaml: str) -> None:
        """Write the project's file; nothing runs yet.

        Args:
            engine: Where it is to run.
            directory: Where `compose.yaml` is written.
            compose_yaml: The file's text.
        """
        self.engine = engine
        self.directory = directory
        self.name = f"rt-{uuid.uuid4().hex[:12]}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "compose.yaml").write_text(compose_yaml)

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on the project and return what it printed.

        Raises:
            RuntimeError: It failed; the message holds what it said.
        """
        done = subprocess.run(
            ["docker", "--host", self.engine.url, "compose", "--project-name", self.name, *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"docker compose {' '.join(arguments)} exited {done.returncode}: {done.stderr}"
            )
        return done.stdout

    def up(self, *arguments: str) -> None:
        """Create and start the services, detached."""
        self.compose("up", "--detach", *arguments)

    def containers(self, service: str | None = None) -> list[Container]:
        """The project's containers, stopped ones too, of one service or of all."""
        labels = [f"{PROJECT_LABEL}={self.name}"]
        if service is not None:
            labels.append(f"{SERVICE_LABEL}={service}")
        return self.engine.client.containers.list(all=True, filters={"label": labels})

    def container(self, service: str) -> Container:
        """The only container of a service.

        Raises:
            LookupError: There is none, or more than one.
        """
        found = self.containers(service)
        if len(found) != 1:
            raise LookupError(f"service {service} has {len(found)} containers")
        return found[0]

    def remove(self) -> None:
        """Remove everything of the project, by id where Compose leaves something behind."""
        try:
            self.compose("down", "--volumes", "--remove-orphans", "--timeout", "0")
        finally:
            of_project = {"label": f"{PROJECT_LABEL}={self.name}"}
            for container in self.containers():
                remove_container(container)
            for network in self.engine.client.networks.list(filters=of_project):
                network.remove()
            for volume in self.engine.client.volumes.list(filters=of_project):
                volume.remove(force=True)


def remove_container(container: Container) -> None:
    """Remove a container at once with its anonymous volumes; it is no error when it is gone."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return
