"""A TCP wire to a server that a test can cut, stall or slow down."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 65536


class Wire:
    """Passes bytes between clients and a server; as an async context manager it listens.

    Attributes:
        port: Where it listens on the loopback interface.
        accepted: How many connections there have been.
        open: While this is not set, nothing passes in either direction, not even the end.
        until: The last thing that a server may say; once it has said it, `open` is cleared.
        delay: Seconds to wait before each byte from the server; 0 passes all that is there at once.
    """

    def __init__(self, port: int | None) -> None:
        """Listen nowhere yet.

        Args:
            port: The server's port on the loopback interface; None hangs up on every client.
        """
        self.port = 0
        self.accepted = 0
        self.open = asyncio.Event()
        self.open.set()
        self.until = b""
        self.delay = 0.0
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._to is None:
            writer.close()
            return
        passing = self.open
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink, from_server in ((reader, server_writer, False), (server_reader, writer, True)):
            task = asyncio.create_task(self._pass(source, sink, passing, from_server=from_server))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def forget(self) -> None:
        """Let nothing pass any more for those that are connected now, as a firewall that has lost its state.

        Who connects from now on is served.
        """
        self.open.clear()
        self.open = asyncio.Event()
        self.open.set()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        passing: asyncio.Event,
        *,
        from_server: bool,
    ) -> None:
        try:
            with suppress(ConnectionError):
                while chunk := await source.read(_CHUNK):
                    step = 1 if from_server and self.delay else len(chunk)
                    for at in range(0, len(chunk), step):
                        await asyncio.sleep(self.delay if from_server else 0)
                        await passing.wait()
                        sink.write(chunk[at : at + step])
                        await sink.drain()
                    if from_server and self.until and self.until in chunk:
                        passing.clear()
            await passing.wait()
        finally:
            sink.close()
