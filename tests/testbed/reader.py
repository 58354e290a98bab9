"""A reader of the daemon's output that can stop reading, and go away."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from tests.testbed.daemon import Daemon, Record

if TYPE_CHECKING:
    from pathlib import Path


class Reader:
    """Reads one end of a pipe or of a socket into a file, unless it is held.

    Args:
        into: The file; what is read is appended.
        sock: A socket, such as the journal's, instead of a pipe of one page.
    """

    def __init__(self, into: Path, *, sock: bool = False) -> None:
        if sock:
            ours, theirs = socket.socketpair()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            self._fd, self.writer = ours.detach(), theirs.detach()
        else:
            self._fd, self.writer = os.pipe()
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self._into = into
        self._go_on = threading.Event()
        self._go_on.set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Stop reading; at most one more piece is read."""
        self._go_on.clear()

    def release(self) -> None:
        """Read on."""
        self._go_on.set()

    def close(self) -> None:
        """Wait until everybody who could write has ended, with what they wrote, and close."""
        self.release()
        with suppress(OSError):
            os.close(self.writer)
        self._thread.join(20)
        os.close(self._fd)

    def _read(self) -> None:
        with self._into.open("ab", buffering=0) as file:
            while data := os.read(self._fd, 4096):
                self._go_on.wait()
                file.write(data)


class ReadDaemon(Daemon):
    """A daemon whose output goes wherever the test says.

    Attributes:
        output_descriptor: Its standard output; it stays the test's own to close. None is the usual file.
        heard: Whether its output gets into the usual file in the end.
    """

    output_descriptor: int | None = None
    heard = True

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it, and wait until it has completed a cycle, if need be by its heartbeat."""
        super().start(*options, wait=wait and self.heard)
        if wait and not self.heard:
            self.wait((self.state_dir / "heartbeat").exists, "its first cycle")

    def open_output(self) -> BinaryIO:
        """The descriptor, doubled."""
        if self.output_descriptor is None:
            return super().open_output()
        return os.fdopen(os.dup(self.output_descriptor), "wb", buffering=0)

    def record(self, line: bytes) -> Record:
        """What a line of its log says, without the priority that is the journal's."""
        return super().record(re.sub(rb"^<\d>", b"", line))
