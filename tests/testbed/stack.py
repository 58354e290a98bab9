"""The example stack of `examples/compose`, brought up as it is shipped, from images built here."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from tests.testbed.engine import BASE_IMAGE, ComposeProject, DockerEngine
from tests.testbed.images import build_image
from tests.testbed.web import ask

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "compose"

STACK_IMAGE = "remediator-test/stack"
APP_IMAGE = "remediator-test/app"
REMEDIATOR_IMAGE = "remediator-test/remediator"


@cache
def build_images() -> None:
    """Build the stack's images and remediator's own from this tree; unchanged layers are reused."""
    for image, context in (
        (STACK_IMAGE, ROOT / "tests" / "images" / "stack"),
        (APP_IMAGE, EXAMPLE / "app"),
        (REMEDIATOR_IMAGE, ROOT),
    ):
        build_image(image, context, BASE_IMAGE)


@dataclass(frozen=True, slots=True)
class Replica:
    """What tells whether a container was touched."""

    id: str
    started_at: str


class ExampleStack(ComposeProject):
    """The shipped example under a project name of its own."""

    def __init__(self, engine: DockerEngine, directory: Path, **variables: str) -> None:
        """Copy the example and make its secrets; nothing runs yet.

        Args:
            engine: Where it is to run.
            directory: Where the copy goes.
            variables: What the compose file takes from its environment, for example REMEDIATOR_MODE.
        """
        build_images()
        shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("secrets", ".env"))
        super().__init__(engine, directory, (EXAMPLE / "compose.yaml").read_text())
        subprocess.run([directory / "setup.sh"], check=True, timeout=30)
        images = {"POSTGRES_IMAGE": STACK_IMAGE, "REDIS_IMAGE": STACK_IMAGE, "HAPROXY_IMAGE": STACK_IMAGE}
        images |= {"APP_IMAGE": APP_IMAGE, "REMEDIATOR_IMAGE": REMEDIATOR_IMAGE}
        with (directory / ".env").open("a") as env:
            for name, value in ({"API_PORT": "0", "STATUS_PORT": "0"} | images | variables).items():
                env.write(f"{name}={value}\n")

    def leak(self, service: str, rate: str, *options: str) -> None:
        """Switch a service's leak on or off, with the command that the example's README names."""
        self.compose("exec", "-T", "api", "python", "manage.py", "leak", service, rate, *options)

    def replica(self, service: str) -> Replica:
        """Read a service's container."""
        container: Container = self.container(service)
        return Replica(str(container.id), container.attrs["State"]["StartedAt"])

    def sql(self, query: str) -> str:
        """Run a query as the superuser, whose slots are reserved; return its unadorned output."""
        psql = ("psql", "-U", "postgres", "-d", "piquetickets", "-Atc", query)
        return self.compose("exec", "-T", "db", *psql).strip()

    def used(self) -> int:
        """Count the client sessions of the applications."""
        return int(
            self.sql(
                "select count(*) from pg_stat_activity"
                " where backend_type = 'client backend' and pid <> pg_backend_pid()"
            )
        )

    def remediator(self, *arguments: str) -> str:
        """Run a remediator command in the sidecar and return its output."""
        return self.compose("exec", "-T", "remediator", "remediator", *arguments)

    def page(self) -> str:
        """The status page, as it is published on this machine."""
        (published,) = self.container("remediator").attrs["NetworkSettings"]["Ports"]["9719/tcp"]
        return ask(int(published["HostPort"]), "/").body

    def events(self) -> list[dict[str, Any]]:
        """Read the sidecar's log: every line must be JSON."""
        lines = self.container("remediator").logs(stdout=True, stderr=True).decode().splitlines()
        return [json.loads(line) for line in lines]

    def said(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.events() if line["event"] == event]
