"""A small service supervisor, as systemd or supervisord would be: starts, tells about, restarts."""

from __future__ import annotations

import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remediator.adapters.environment import public_environment
from remediator.demo.guard import Guard

_STOP_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """How a service is run.

    Attributes:
        first: The program with arguments at the first start.
        later: The same at every start after that: a restart may heal.
    """

    name: str
    first: Sequence[str]
    later: Sequence[str]


class Supervisor:
    """Runs services and takes orders on a Unix socket: `restart NAME` or `inspect NAME`, one a connection.

    The answer is `ok TOKEN`, where the token differs after every start, or `error REASON`.

    Args:
        specs: The services.
        directory: Where the socket and each service's output go.
        environment: The services' environment.
        guard: Told of every process.
    """

    def __init__(
        self, specs: Sequence[ServiceSpec], directory: Path, environment: Mapping[str, str], guard: Guard
    ) -> None:
        self.socket = directory / "supervisor.sock"
        self._specs = {spec.name: spec for spec in specs}
        self._directory = directory
        self._environment = public_environment(environment)
        self._guard = guard
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._starts = dict.fromkeys(self._specs, 0)
        self._server = _Server(str(self.socket), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)

    def start(self) -> None:
        """Start every service, then take orders."""
        for name in self._specs:
            self._start(name)
        self._thread.start()

    def stop(self) -> None:
        """Take no more orders; ending the services is the guard's business."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def pids(self) -> Mapping[str, int]:
        """The process of each service, running or not."""
        return {name: process.pid for name, process in self._running.items()}

    def running(self) -> bool:
        """Whether every service runs."""
        return all(process.poll() is None for process in self._running.values())

    def starts(self, name: str) -> int:
        """How often a service has been started."""
        return self._starts[name]

    def answer(self, order: str) -> str:
        """Carry out one order and say what came of it."""
        verb, _, name = order.strip().partition(" ")
        if name not in self._specs:
            return f"error there is no service {name}"
        if verb == "restart":
            self._end(name)
            self._start(name)
        elif verb != "inspect":
            return f"error there is no order {verb}"
        process = self._running[name]
        if process.poll() is not None:
            return f"error {name} does not run"
        return f"ok start {self._starts[name]}, process {process.pid}"

    def _start(self, name: str) -> None:
        spec = self._specs[name]
        argv = spec.later if self._starts[name] else spec.first
        with (self._directory / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  our own modules
                [sys.executable, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        self._guard.process(process.pid, signal.SIGTERM)
        self._running[name] = process
        self._starts[name] += 1

    def _end(self, name: str) -> None:
        process = self._running[name]
        process.terminate()
        try:
            process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Server(socketserver.UnixStreamServer):
    def __init__(self, path: str, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        super().__init__(path, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Answer the one order of a connection."""
        order = self.rfile.readline().decode(errors="replace")
        self.wfile.write(f"{self.server.supervisor.answer(order)}\n".encode())
