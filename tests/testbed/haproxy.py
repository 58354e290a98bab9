"""A real HAProxy on a unix socket, and a client that sends it exactly the bytes it is told to."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.testbed.missing import missing
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Answer(NamedTuple):
    """One answer: its status, and all that followed the status line."""

    status: int
    rest: bytes

    def json(self) -> Any:
        """The body, which the server may have sent in chunks."""
        head, _, body = self.rest.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            body = b"".join(body.split(b"\r\n")[1::2])
        return json.loads(body)


class HAProxy:
    """HAProxy with a configuration that takes its address from `DOCKER_PROXY_BIND`; a context manager."""

    def __init__(
        self, config: Path, path: Path, upstream: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            config: Its configuration.
            path: The socket it is to listen on.
            upstream: The socket it is to pass requests on to.
            env: More variables of its configuration.
        """
        self.path = path
        self._command = [_program(), "-db", "-f", str(config)]
        self._variables = {"DOCKER_PROXY_BIND": f"unix@{path}", "DOCKER_PROXY_SOCKET": str(upstream)}
        self._variables.update(env or {})

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(self._command, env=self._variables)
        wait_until(
            lambda: self.path.exists() or self._process.poll() is not None, what="haproxy opens its socket"
        )
        assert self._process.poll() is None, "haproxy refused its configuration"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()

    def send(self, raw: bytes) -> bytes:
        """Send raw bytes and return all that is answered until the proxy closes."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(60)
            client.connect(str(self.path))
            client.sendall(raw)
            answer = bytearray()
            while chunk := client.recv(65536):
                answer += chunk
        return bytes(answer)

    def ask(self, method: str, target: str, *, body: str = "") -> Answer:
        """Make one request and read its answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: docker", "Connection: close"]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        status, _, rest = self.send("\r\n".join([*lines, "", body]).encode()).partition(b"\r\n")
        return Answer(int(status.split()[1]), rest)


def _program() -> str:
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    return found or missing("haproxy is not installed (make testbed installs it)")
