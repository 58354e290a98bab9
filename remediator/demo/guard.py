"""Sees to it that nothing of the demo outlives it, not even when the demo is killed.

A process of its own reads a pipe whose other end only the demo holds. When the pipe ends, for whatever
reason, it ends every process and removes every directory that it was told of.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

_PATIENCE = 10.0
_PATIENCE_AFTER_KILL = 5.0
_TRIES = 50
# The guard must outlast what ends the demo: a terminal's hangup, Ctrl-C, a service manager's stop.
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Guard:
    """The demo's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "remediator.demo.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._telling = threading.Lock()

    def process(self, pid: int, end_by: signal.Signals) -> None:
        """Name a process that must end.

        Args:
            pid: A child that has not been waited for.
            end_by: The signal that asks it to; ten seconds later it is killed.
        """
        self._tell(f"process {pid} {end_by.value}")

    def directory(self, path: Path) -> None:
        """Name a directory that must be removed once every process has ended."""
        self._tell(f"directory {path}")

    def end(self) -> None:
        """End everything now, the youngest process first."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        with self._telling:
            if self._process.stdin is not None:
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()


def main() -> None:
    """Guard until standard input ends, then clean up."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    processes, directories = _listen(sys.stdin)
    for handle, end_by in reversed(processes):
        _end(handle, end_by)
    for directory in directories:
        _remove(directory)


def _listen(lines: Iterable[str]) -> tuple[list[tuple[int, int]], list[Path]]:
    """Take orders until there are no more. A process is held by a handle: a pid may be used again."""
    processes: list[tuple[int, int]] = []
    directories: list[Path] = []
    for line in lines:
        kind, _, rest = line.rstrip("\n").partition(" ")
        if kind == "directory":
            directories.append(Path(rest))
            continue
        pid, _, number = rest.partition(" ")
        with contextlib.suppress(ProcessLookupError):
            processes.append((os.pidfd_open(int(pid)), int(number)))
    return processes, directories


def _end(handle: int, end_by: int) -> None:
    for number, patience in ((end_by, _PATIENCE), (signal.SIGKILL, _PATIENCE_AFTER_KILL)):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        if select.select([handle], [], [], patience)[0]:
            return


def _remove(directory: Path) -> None:
    """Remove a directory, again and again while a program that is about to end still writes to it."""
    for _ in range(_TRIES):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(_PATIENCE / _TRIES)


if __name__ == "__main__":
    main()
