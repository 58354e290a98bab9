"""Serving beside the checks: few connections at once, few new ones a second, each with a deadline.

Uvicorn speaks HTTP. The sockets are accepted here, because the checks run in the same event loop and must not
suffer: whoever opens thousands of connections waits in the kernel's queue, at no cost to us.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from remediator.core.events import Event
from remediator.ports import Observer

_LARGEST_HEAD = 16 * 1024
_RETRY = 5.0
_REMEDIES = {
    errno.EADDRINUSE: "the address is already in use; end what serves there, or set another web.listen",
    errno.EADDRNOTAVAIL: "no interface of this machine has the address; set another web.listen",
    errno.EACCES: "this port is not for our user; set one from 1024 on in web.listen",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take, all of them together.

    Attributes:
        connections: At once.
        per_second: New ones, as many in a burst.
        head: Seconds for a request to come whole.
        whole: Seconds for the answer to be taken as well.
        queue: Connections that the kernel keeps waiting.
    """

    connections: int = 32
    per_second: int = 50
    head: float = 5.0
    whole: float = 20.0
    queue: int = 128


class WebServer:
    """Serves an application; what goes wrong with that is told, tried again, and harms nothing else.

    Args:
        app: What answers.
        host: An address of this machine.
        port: Where to listen.
        observer: Told when it cannot be served, and when it can again.
        limits: What clients may take.
    """

    def __init__(
        self, app: ASGIApp, host: str, port: int, observer: Observer, limits: Limits | None = None
    ) -> None:
        self._host, self._port = host, port
        self._observer = observer
        self._limits = limits or Limits()
        self._listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._state = ServerState()
        self._config = Config(
            app,
            http=H11Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
        )
        # It warns of each malformed request: whoever sends them would fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._trouble: str | None = None

    async def run(self) -> None:
        """Serve until cancelled; never raises anything else."""
        try:
            while True:
                try:
                    await self._serve()
                except Exception as error:  # noqa: BLE001  the checks must go on whatever is wrong here
                    self._unavailable(error)
                await asyncio.sleep(_RETRY)
        finally:
            for connection in tuple(self._state.connections):
                if isinstance(connection, _Connection):
                    connection.abandon()

    def _unavailable(self, error: Exception) -> None:
        because = _in_words(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        if because != self._trouble:
            self._observer.emit(Event.WEB_UNAVAILABLE, listen=self._listen, because=because)
        self._trouble = because

    async def _serve(self) -> None:
        with _listening(self._host, self._port, self._limits.queue) as listener:
            self._trouble = None
            self._observer.emit(Event.WEB_AVAILABLE, listen=self._listen)
            await self._accept(listener)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(self._limits.connections)
        pace = _Pace(self._limits.per_second)

        def protocol() -> asyncio.Protocol:
            return _Connection(self._config, self._state, self._limits, room.release)

        while True:
            await pace.wait()
            await room.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
            except ConnectionError:
                room.release()
                continue
            connection.settimeout(0.0)
            await loop.connect_accepted_socket(protocol, connection)


def _in_words(error: OSError) -> str:
    if error.errno in _REMEDIES:
        return _REMEDIES[error.errno]
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _listening(host: str, port: int, queue: int) -> socket.socket:
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004  IPv6
    listener = socket.create_server((host, port), family=family, backlog=queue)
    listener.settimeout(0.0)
    return listener


class _Pace:
    """So many a second, and at first as many at once."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at = asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Wait for one's turn."""
        now = asyncio.get_running_loop().time()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        self._left -= 1
        if self._left < 0:
            await asyncio.sleep(-self._left / self._per_second)


class _Connection(H11Protocol):
    """One connection, for one request, cut off at its deadline wherever it stands then."""

    def __init__(self, config: Config, state: ServerState, limits: Limits, ended: Callable[[], Any]) -> None:
        super().__init__(config, state, {})
        self.tasks = set()  # its own, to be ended with it; the server would let them go on
        self._limits = limits
        self._ended = ended
        self._deadlines: list[asyncio.TimerHandle] = []
        self._gone = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count its time."""
        super().connection_made(transport)
        self._deadlines = [
            self.loop.call_later(self._limits.head, self._without_request),
            self.loop.call_later(self._limits.whole, transport.abort),
        ]

    def data_received(self, data: bytes) -> None:
        """Take bytes; those that nobody could make sense of end the connection, without a word in the log."""
        try:
            super().data_received(data)
        except Exception:  # noqa: BLE001  a stranger's bytes
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what nobody waits for any more, and make room for the next one once it has ended."""
        for deadline in self._deadlines:
            deadline.cancel()
        super().connection_lost(exc)
        for task in self.tasks:
            task.cancel()
            task.add_done_callback(self._make_room)
        self._make_room()

    def abandon(self) -> None:
        """End it, and what is under way for it, at once."""
        for task in self.tasks:
            task.cancel()
        self.transport.abort()

    def _make_room(self, *_: object) -> None:
        if not self._gone and all(task.done() for task in self.tasks):
            self._gone = True
            self._ended()

    def _without_request(self) -> None:
        if getattr(self, "scope", None) is None:  # set by the first request
            self.transport.abort()
