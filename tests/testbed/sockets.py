"""Unix sockets that stand between a client and the Docker Engine, or in its place."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_CHUNK = 65536


class Listener:
    """A Unix socket that takes connections and never answers; as a context manager.

    Args:
        path: Where the socket is made.
        drip: Bytes to send one of every tenth of a second, over and over: an answer without end.
    """

    def __init__(self, path: Path, drip: bytes = b"") -> None:
        self.path = path
        self.accepted = 0
        """How many connections there have been."""
        self._drip = drip
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()

    @property
    def url(self) -> str:
        """The address for a client."""
        return f"unix://{self.path}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.drop()
        # A closed socket does not wake the thread that waits in accept; a shut down one does.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.path.unlink()
        for thread in self._threads:
            thread.join()

    def drop(self) -> None:
        """End every connection."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def serve(self, client: socket.socket) -> None:
        """Deal with one connection, until its end."""
        if not self._drip:
            while client.recv(_CHUNK):
                pass
        while not self._ended.wait(0.1):
            for byte in self._drip:
                client.sendall(bytes([byte]))
                if self._ended.wait(0.1):
                    return

    def _spawn(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(client)
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self.serve(client)


class Forwarder(Listener):
    """A Unix socket in front of the engine that notes the requests, and may interfere.

    Args:
        path: Where the socket is made.
        upstream: The engine's own socket.
        before: Called with each request line before it is passed on.
        swallow: Whether the answer to a request is kept from the client, by its request line.
        answer: What becomes of each piece of an answer.
    """

    def __init__(
        self,
        path: Path,
        upstream: str,
        *,
        before: Callable[[str], None] = lambda _: None,
        swallow: Callable[[str], bool] = lambda _: False,
        answer: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        super().__init__(path)
        self.requests: list[str] = []
        """The request lines so far: `GET /v1.41/containers/json?...`."""
        self._upstream = upstream.removeprefix("unix://")
        self._before = before
        self._swallow = swallow
        self._answer = answer

    def serve(self, client: socket.socket) -> None:
        """Pass requests and answers on, until either side ends the connection."""
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._upstream)
            swallowing = threading.Event()
            self._spawn(self._answers, engine, client, swallowing)
            try:
                while data := client.recv(_CHUNK):
                    line = data.partition(b"\r\n")[0].decode().removesuffix(" HTTP/1.1")
                    self.requests.append(line)
                    self._before(line)
                    if self._swallow(line):
                        swallowing.set()
                    engine.sendall(data)
            finally:
                engine.shutdown(socket.SHUT_RDWR)

    def _answers(self, engine: socket.socket, client: socket.socket, swallowing: threading.Event) -> None:
        with suppress(OSError):
            while data := engine.recv(_CHUNK):
                if not swallowing.is_set():
                    client.sendall(self._answer(data))
            client.shutdown(socket.SHUT_RDWR)
