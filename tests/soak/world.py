"""The real parts of a soak: two servers, services that leak, honest clients, an engine, the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.testbed.daemon import Daemon, LeakingService
from tests.testbed.engine import BUSYBOX_IMAGE, ComposeProject, connect
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import SUPERUSER, PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sockets import Forwarder

VERSION = 16
SLOTS = 60
CLIENTS = 10
ENGINE_SOCKET = "engine.sock"

# Small enough to be spent within a run, so that holding and locking are soaked too.
LIMITS: dict[str, Any] = {
    "terminate": {"per_step": "40%", "per_hour": 1500},
    "restart": {"per_service": "3 per 5m", "per_day": 30},
    "failed_rounds": 5,
}
_COMPOSE = f"""
services:
  web: {{image: "{BUSYBOX_IMAGE}", command: sleep 36000, stop_signal: SIGKILL}}
"""


class World:
    """Everything that a soak runs among; as a context manager it starts and ends all of it.

    Args:
        directory: Where the daemon's files and the services' scripts go.
        seed: For the honest clients.
        with_engine: Whether a Compose project takes part, where an engine answers.

    Attributes:
        servers: The servers by the name of their database: `shop`, full of leaks, and `side`.
        services: The leaking services by name.
        daemon: The daemon under observation.
    """

    def __init__(self, directory: Path, seed: int, *, with_engine: bool = True) -> None:
        self.directory = directory
        self._requests: list[str] = []
        self._container = ""
        self._seed = seed
        self._with_engine = with_engine
        self._stack = ExitStack()
        self._forwarder: Forwarder | None = None
        self._engine_socket = ""
        self._churn: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def engine_there(self) -> bool:
        """Whether an engine takes part."""
        return bool(self._engine_socket)

    def restarts(self) -> dict[str, int]:
        """How often each service was really restarted: by its own account, by what the engine was asked."""
        counts = {name: service.restarts for name, service in self.services.items()}
        if self.engine_there:
            asked = (f"/containers/{self._container}/restart" in line for line in self._requests)
            counts["web"] = sum(asked)
        return counts

    @property
    def spared_and_lost(self) -> list[dict[str, Any]]:
        """What the honest clients have said: sessions ended in a state that is spared."""
        path = self.directory / "churn.log"
        return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]

    def start_daemon(self) -> None:
        """Start the daemon once more, with a new file for what it says."""
        out = self.daemon.directory / "out.log"
        out.rename(out.with_name(f"out-{len(self._logs())}.log"))
        self.daemon.start()

    def events(self) -> list[dict[str, Any]]:
        """All that every life of the daemon has said; the last line of one that was killed may be torn."""
        lines = [line for path in self._logs() for line in path.read_text().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _logs(self) -> list[Path]:
        directory = self.daemon.directory
        return [*sorted(directory.glob("out-*.log")), directory / "out.log"]

    def stop_leaks(self) -> None:
        """End the services, also those that two starts at once have made two of, and the honest clients."""
        for service in self.services.values():
            service.limit = 0
            service.configure()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                command = (process / "cmdline").read_bytes()
                if any(bytes(s.directory / "worker.py") in command for s in self.services.values()):
                    os.kill(int(process.name), signal.SIGKILL)
        self.stop_churn()

    def _start(self, stack: ExitStack) -> None:
        binaries = postgres_binaries()[VERSION]
        self.servers = {
            name: stack.enter_context(
                PostgresServer(VERSION, binaries, {"max_connections": SLOTS, "reserved_connections": 3})
            )
            for name in ("shop", "side")
        }
        watch = {name: create_watch_role(s, reserved=True) for name, s in self.servers.items()}
        apps = {name: create_app_role(s) for name, s in self.servers.items()}
        self.services = {
            name: LeakingService(name, self.directory / name, apps[database], heals_after=None, every=0.05)
            for name, database in (("worker", "shop"), ("batch", "side"))
        }
        services = [service.config for service in self.services.values()]
        config: dict[str, Any] = {"services": services}
        if self._with_engine:
            self._enter_engine(stack, config)
        steps = [{"restart": {"service": service["name"]}} for service in services]
        policy = {
            "remediate": {"retry": "3s", "steps": [{"terminate_idle": {"older_than": "1s"}}, *steps]},
            "limits": LIMITS,
        }
        stack.callback(self.stop_leaks)
        self._start_churn(stack, apps["shop"])
        self.daemon = stack.enter_context(
            Daemon(self.directory / "daemon", watch, *self.services.values(), policy=policy, config=config)
        )

    def _enter_engine(self, stack: ExitStack, config: dict[str, Any]) -> None:
        engine = connect()
        if engine is None:
            return
        stack.callback(engine.client.close)
        self._engine_socket = engine.url
        self.connect_engine()
        stack.callback(self.cut_engine)
        project = ComposeProject(engine, self.directory / "project", _COMPOSE)
        stack.callback(project.remove)
        project.up()
        self._container = str(project.container("web").id)
        config["services"] = [
            *config["services"],
            {"name": "web", "compose": {"project": project.name, "service": "web"}, "verify": _SHORT},
        ]
        config["docker"] = {"host": f"unix://{self.directory / ENGINE_SOCKET}"}

    def connect_engine(self) -> None:
        """Put a socket in front of the engine, for the daemon only."""
        if self._engine_socket and self._forwarder is None:
            self._forwarder = Forwarder(
                self.directory / ENGINE_SOCKET, self._engine_socket, before=self._requests.append
            )
            self._forwarder.__enter__()

    def cut_engine(self) -> None:
        """Take that socket away, with every connection through it."""
        if self._forwarder is not None:
            self._forwarder.__exit__(None, None, None)
            self._forwarder = None

    def _start_churn(self, stack: ExitStack, dsn: str) -> None:
        log = stack.enter_context((self.directory / "churn.log").open("wb"))
        command = [sys.executable, "-m", "tests.soak.churn", dsn, str(CLIENTS), str(self._seed)]
        self._churn.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def stop_churn(self) -> None:
        """Let the honest clients leave."""
        while self._churn:
            churn = self._churn.pop()
            churn.terminate()
            try:
                churn.wait(20)
            except subprocess.TimeoutExpired:
                churn.kill()
                churn.wait()

    def own_sessions(self, database: str) -> int | None:
        """How many sessions of remediator's role a server has; None while it does not answer."""
        server = self.servers[database]
        with (
            suppress(psycopg.Error),  # it is down, frozen or starting on purpose
            psycopg.connect(
                host=str(server.directory),
                port=server.port,
                user=SUPERUSER,
                dbname="postgres",
                connect_timeout=2,
                options="-c statement_timeout=2s",
                autocommit=True,
            ) as connection,
        ):
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'remediator'"
            ).fetchone()
            return int(row[0]) if row else None
        return None


_SHORT = {"within": "5s", "steady_for": "300ms"}
