"""The way out for log lines: a bounded backlog and one thread that writes it; nobody waits for a reader.

The standard library's queue listener is not used: at the end it waits without limit for a write that hangs.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

BACKLOG = 4 * 1024 * 1024
"""Bytes of lines that may wait for their reader."""

_QUIET_SHARE = 3, 4
"""Of the backlog, what lines below a warning may fill; the rest is kept for those that matter more."""
_RESUMED_SHARE = 1, 2
"""What the backlog must have fallen to before such lines are taken again: one gap, not many."""
_RETRY = 1.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that were dropped, because nobody took those before them.

    Attributes:
        lines: How many.
        seconds: From the first of them until lines flowed again.
    """

    lines: int
    seconds: float


class Outlet:
    """Takes lines at once and writes them in their order, whenever the descriptor takes them.

    A write that fails is tried again every second: a full disk may have room again, and a named pipe
    another reader. What finds no room in the backlog is dropped and counted.

    Args:
        descriptor: Where to; it is written to directly and not closed.
        tell: Told of each gap once lines flow again, to `put` a line about it; called from any thread.
        backlog: Bytes that may wait.
        encoding: Of the text; characters that it lacks are written as escapes.
    """

    def __init__(
        self,
        descriptor: int,
        tell: Callable[[Gap], None],
        *,
        backlog: int = BACKLOG,
        encoding: str = "utf-8",
    ) -> None:
        self._descriptor = descriptor
        self._backlog = backlog
        self._encoding = encoding
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._dropped = 0
        self._dropping_since = 0.0
        self._torn = False
        self._closing = False
        self._tell = tell
        self._changed = threading.Condition()  # reentrant: telling of a gap puts a line
        # A daemon thread: one that hangs in a write must not keep the process alive.
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def put(self, text: str, *, urgent: bool) -> None:
        """Take a line and return at once.

        Args:
            text: The line, without its end.
            urgent: It is a warning or worse, for which some of the backlog is reserved.
        """
        line = f"{text}\n".encode(self._encoding, errors="backslashreplace")
        with self._changed:
            room = self._backlog - self._waiting - len(line)
            spare = 0 if urgent else self._spare(_RESUMED_SHARE if self._dropped else _QUIET_SHARE)
            if room < spare:
                self._dropping_since = self._dropping_since if self._dropped else time.monotonic()
                self._dropped += 1
                return
            if room >= self._spare(_RESUMED_SHARE):
                self._note_gap()
            self._append(line)

    def close(self, within: float | None) -> bool:
        """Write what waits, and end.

        Args:
            within: Seconds to try for; None is for as long as it takes.

        Returns:
            Whether all was written.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(within)
        return not self._thread.is_alive() and not self._lines

    def _spare(self, share: tuple[int, int]) -> int:
        part, whole = share
        return self._backlog - self._backlog * part // whole

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._waiting += len(line)
        self._changed.notify()

    def _note_gap(self) -> None:
        """Say how many lines are missing, where they are missing."""
        if not self._dropped:
            return
        gap = Gap(self._dropped, time.monotonic() - self._dropping_since)
        self._dropped = 0
        self._tell(gap)  # which puts a line

    def _write_all(self) -> None:
        while (line := self._next()) is not None:
            if self._write(line):
                with self._changed:
                    self._lines.popleft()
                    self._waiting -= len(line)
            elif not self._try_again():
                return

    def _next(self) -> bytes | None:
        """Wait for a line; None is the end."""
        with self._changed:
            if not self._lines:
                self._note_gap()
            self._changed.wait_for(lambda: self._lines or self._closing)
            return self._lines[0] if self._lines else None

    def _try_again(self) -> bool:
        """Wait a moment after a failure; at the end nothing is tried twice."""
        with self._changed:
            if self._closing:
                return False
            self._changed.wait_for(lambda: self._closing, _RETRY)
            return True

    def _write(self, line: bytes) -> bool:
        """Write a line whole, however long that takes; false when it fails."""
        # Others may have written since a line was cut off; then it is written anew, on a line of its own.
        data = b"\n" + line if self._torn else line
        written = 0
        while written < len(data):
            try:
                written += os.write(self._descriptor, data[written:])
            except BlockingIOError:  # whoever gave us the descriptor made it so
                self._wait_until_writable()
            except OSError:
                if written:
                    self._torn = not (self._torn and written == 1)
                return False
        self._torn = False
        return True

    def _wait_until_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(_RETRY * 1000)
