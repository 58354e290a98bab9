"""The real daemon in front of real Compose services, and a database that is short of slots."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.testbed.daemon import Daemon, Record, ladder, merged, outcomes
from tests.testbed.engine import BUSYBOX_IMAGE, ComposeProject, DockerEngine
from tests.testbed.postgres import PostgresServer
from tests.testbed.sessions import open_idle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from docker.models.containers import Container

# Of 40 slots an ordinary role gets 37: without the idle ones it is critical still, so that restarts follow.
_BUSY, _IDLE = 30, 3
VERIFY: Record = {"within": "4s", "steady_for": "600ms"}


@dataclass(frozen=True)
class Service:
    """A Compose service that keeps a diary of its starts and ends.

    Attributes:
        on_start: Shell commands to run at each start, with `$n` as the number of the start, from 1.
        on_term: Shell commands to run on SIGTERM; the diary is told of the end when they get to it.
        grace: Its `stop_grace_period`, None for none.
        more: More keys for the Compose file.
    """

    name: str = "web"
    on_start: str = ""
    on_term: str = ""
    grace: str | None = "5s"
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def compose(self) -> Record:
        """What the Compose file says of it."""
        script = "; ".join(
            filter(
                None,
                (
                    'd=/diary/$$(hostname); echo start >> "$$d"; n=$$(grep -c start "$$d")',
                    f"""trap '{self.on_term or ":"}; echo end >> "$$d"; exit 0' TERM""",
                    self.on_start,
                    "while :; do sleep 0.05; done",
                ),
            )
        )
        grace = {} if self.grace is None else {"stop_grace_period": self.grace}
        base = {
            "image": BUSYBOX_IMAGE,
            "command": ["sh", "-c", script],
            "network_mode": "none",
            "volumes": ["./diary:/diary"],
        }
        return {**base, **grace, **self.more}


class Composed(ComposeProject):
    """A Compose project of services that keep diaries."""

    def __init__(self, engine: DockerEngine, directory: Path, *services: Service) -> None:
        """Write the project's file; nothing runs yet."""
        self.services = services
        text = json.dumps({"services": {service.name: service.compose for service in services}})
        super().__init__(engine, directory, text)  # JSON is YAML too
        (directory / "diary").mkdir()

    def diary(self, container: Container) -> list[str]:
        """What a container wrote down: `start`, and `end` where it ended by itself."""
        path = self.directory / "diary" / str(container.id)[:12]
        return path.read_text().split() if path.exists() else []


def started_at(container: Container) -> str:
    """When a container was started last, as the engine says now."""
    container.reload()
    return str(container.attrs["State"]["StartedAt"])


def daemon_for(
    directory: Path,
    dsn: str,
    project: Composed,
    *,
    host: str | None = None,
    services: Mapping[str, Record] | None = None,
    policy: Mapping[str, Any] | None = None,
) -> Daemon:
    """Make an enforcing daemon that restarts a project's services in their order; it does not run yet.

    Args:
        directory: Where everything of it goes.
        dsn: Of the database.
        project: The project; every service of it is configured and has a step.
        host: The engine's address, when it is not the project's own.
        services: Changes to what the configuration says of a service, by its name.
        policy: Changes to the policy.
    """
    changes = services or {}
    configured = [
        merged(
            {"name": s.name, "compose": {"project": project.name, "service": s.name}, "verify": VERIFY},
            changes.get(s.name, {}),
        )
        for s in project.services
    ]
    config = {"docker": {"host": host or project.engine.url}, "services": configured}
    steps = ladder(*(service.name for service in project.services))
    return Daemon(directory, dsn, policy=merged(steps, policy or {}), config=config)


@contextmanager
def pressure(app: str) -> Iterator[list[int]]:
    """Make a server of 40 slots critical: sessions in a transaction, and a few idle ones that may go.

    Args:
        app: Where to, as an ordinary role.

    Yields:
        The process ids of the idle sessions.
    """
    with open_idle(app, _BUSY, in_transaction=True), open_idle(app, _IDLE) as idle:
        yield idle


def restarts(entries: list[Record]) -> list[tuple[str, str | None]]:
    """The restarts among entries, as the container's name without the project, and result."""
    told = []
    for entry in entries:
        if entry["action"]["kind"] == "restart_replica":
            name = entry["action"]["replica"]["name"].split("-", 2)[-1]
            told.append((name, entry["outcome"]["result"] if entry["outcome"] else None))
    return told


def terminated(daemon: Daemon) -> int:
    """How many sessions the ledger says were terminated and are gone."""
    return outcomes(daemon.entries()).count(("terminate", "confirmed"))


def wait_until_gone(daemon: Daemon, server: PostgresServer, pids: list[int], within: float = 30.0) -> None:
    """Wait until sessions are gone from the server."""
    daemon.wait(lambda: not server.alive(pids), "the idle sessions to be gone", within)
