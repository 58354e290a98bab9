"""Clients that connect to PostgreSQL, begin to log in, and leave it at that."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.testbed.postgres import PostgresServer

_PROTOCOL = 3 << 16
_REFUSED = b"E"


@contextmanager
def full_of_logins(server: PostgresServer, user: str = "app") -> Iterator[None]:
    """Hold every slot that is left by clients in authentication; they leave at the end.

    The server's `authentication_timeout` must be long enough.
    """
    with ExitStack() as stack:
        wait_until(lambda: _knock(stack, server, user) == _REFUSED, what="the server to be full of logins")
        yield


def _knock(stack: ExitStack, server: PostgresServer, user: str) -> bytes:
    """Begin to log in; return the kind of message that came back."""
    client = stack.enter_context(socket.create_connection((server.host, server.port), timeout=10))
    body = struct.pack("!I", _PROTOCOL) + f"user\0{user}\0database\0postgres\0\0".encode()
    client.sendall(struct.pack("!I", len(body) + 4) + body)
    return client.recv(1)
