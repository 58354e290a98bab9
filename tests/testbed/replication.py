"""A second PostgreSQL server beside the first: a streaming standby, and a switch in front of both."""

from __future__ import annotations

import select
import shutil
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.testbed.pgbinaries import run_as_server
from tests.testbed.postgres import PostgresServer
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_CHUNK = 65536


class Standby(PostgresServer):
    """A streaming standby of a running server, until it is promoted."""

    def __init__(self, primary: PostgresServer, bin_dir: Path) -> None:
        """Copy the primary; nothing of the standby runs yet."""
        super().__init__(primary.version, bin_dir, primary.settings)
        shutil.rmtree(self._data)
        run_as_server(
            [
                *(bin_dir / "pg_basebackup", "-D", self._data, "-h", primary.directory),
                *("-p", str(primary.port), "-U", "postgres", "-X", "stream", "-c", "fast", "--no-sync", "-R"),
            ],
            cwd=self.directory,
        )

    def promote(self) -> None:
        """Make a primary of it, and return when it is one."""
        self.rows("SELECT pg_promote()")
        wait_until(lambda: self.rows("SELECT pg_is_in_recovery()") == [(False,)], what="the promotion")


class Switch:
    """A port that leads to one server, and later to another; as a context manager it listens.

    Attributes:
        port: Where it listens on the loopback interface.
    """

    def __init__(self, target: int) -> None:
        """Listen nowhere yet.

        Args:
            target: The port that new connections are led to.
        """
        self._target = target
        self._clients: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def dsn(self, dsn: str, server: PostgresServer) -> str:
        """A server's connection URL, led through here."""
        return dsn.replace(f":{server.port}/", f":{self.port}/")

    def lead_to(self, target: int, *, cut: bool = True) -> None:
        """Lead new connections elsewhere.

        Args:
            target: The other port.
            cut: Whether to end those that are there.
        """
        self._target = target
        if cut:
            self.cut()

    def cut(self) -> None:
        """End all connections."""
        while self._clients:
            with suppress(OSError):  # of one that has ended by itself
                self._clients.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Pass bytes both ways until either side ends."""
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._target)) as server:
            self._clients.add(client)
            while True:
                for source in select.select((client, server), (), ())[0]:
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
