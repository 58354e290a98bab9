"""Real receivers of notifications: an HTTP server and a mail server, which also fail or hang on demand."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller

from tests.testbed.waiting import wait_until


class HttpReceiver:
    """An HTTP server on a port that stays the same when it is stopped and started again.

    Attributes:
        port: Where it listens.
        status: What it answers with.
    """

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self._received: list[tuple[str, bytes]] = []
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status < 300:
                    receiver._received.append((self.path, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Listen no longer: a connection is refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def received(self) -> list[dict[str, Any]]:
        """What was received and taken, as JSON."""
        return [json.loads(body) for _, body in self._received]

    @property
    def titles(self) -> list[str]:
        """The titles of what was received through json://."""
        return [str(message["title"]) for message in self.received]

    def wait(self, number: int, within: float = 30.0) -> list[dict[str, Any]]:
        """Wait until so many messages have come."""
        wait_until(lambda: len(self._received) >= number, what=f"{number} messages", within=within)
        return self.received

    def url(self, path: str = "hook", scheme: str = "json") -> str:
        """Where it is, as Apprise writes it."""
        return f"{scheme}://127.0.0.1:{self.port}/{path}"


class MailReceiver:
    """A mail server without TLS."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  its name
        """Take a mail."""
        self.received.append(message_from_bytes(envelope.content, EmailMessage, policy=policy.default))
        return "250 taken"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        """Where it is, as Apprise writes it."""
        return (
            f"mailto://127.0.0.1:{self.port}?from=remediator@example.com&to=oncall@example.com&mode=insecure"
        )

    def wait(self, until: Callable[[list[EmailMessage]], bool], what: str) -> list[EmailMessage]:
        """Wait until the mails received are so."""
        wait_until(lambda: until(self.received), what=what)
        return self.received


class HangingReceiver:
    """Takes connections and never answers.

    Attributes:
        port: Where it listens.
        connections: How many it has taken.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                self._taken.append(self._socket.accept()[0])
            except OSError:
                return

    @property
    def connections(self) -> int:
        """How many it has taken."""
        return len(self._taken)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for taken in self._taken:
            taken.close()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
