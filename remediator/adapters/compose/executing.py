"""Running a program in a container, for what it prints."""

from __future__ import annotations

import time
from contextlib import closing
from struct import Struct
from typing import TYPE_CHECKING, Any

from remediator.core.deposition import MOST
from remediator.core.text import duration

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from remediator.adapters.compose.transport import Client

# The engine's frame: which stream it is of, and how many bytes follow.
_HEADER = Struct(">BxxxL")


def execute(
    connect: Callable[[], Client], container_id: str, argv: Sequence[str], within: timedelta
) -> tuple[str, str]:
    """Run it and read; blocks for as long as agreed.

    Args:
        connect: Makes a connection of its own, which waits for no answer for longer than agreed.
        container_id: The container's full id.
        argv: The program and its arguments.
        within: How long it may take.

    Returns:
        How it ended, and the beginning of what it printed.
    """
    end = time.monotonic() + within.total_seconds()
    with closing(connect()) as client:
        made = client.exec_create(container_id, list(argv))
        output, late = _read(client, made["Id"], end)
        text = output.decode(errors="replace") + ("..." if len(output) >= MOST else "")
        if late:
            return f"did not end within {duration(within)}", text
        code = client.exec_inspect(made["Id"])["ExitCode"]
    return ("its output was longer than is kept" if code is None else f"exit {code}"), text


def _read(client: Client, execution: str, end: float) -> tuple[bytes, bool]:
    """Read until it ends, there is enough, or it is too late; tell whether it was."""
    output = bytearray()
    stream: Any = client.exec_start(execution, socket=True)
    # Not by the SDK's own reader: it waits for ever, and does not close what it reads from.
    connection: socket.socket = getattr(stream, "_sock", stream)
    with closing(connection), closing(stream._response):  # noqa: SLF001  no other way to it
        try:
            while len(output) < MOST:
                head = _exactly(connection, _HEADER.size, end)
                if not head:
                    return bytes(output), False
                output += _exactly(connection, _HEADER.unpack(head)[1], end)
        except TimeoutError:
            return bytes(output[:MOST]), True
    return bytes(output[:MOST]), False


def _exactly(connection: socket.socket, size: int, end: float) -> bytes:
    """Read so many bytes, or none when nothing comes any more.

    Raises:
        TimeoutError: Not before it was too late.
    """
    data = bytearray()
    while len(data) < size:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(min(size - len(data), MOST))
        if not part:
            return b""
        data += part
    return bytes(data)
