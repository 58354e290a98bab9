"""What can be read of a running process from outside."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_CLOSE_WAIT = "08"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a process.

    Attributes:
        at: Monotonic time in seconds.
        pid: The process.
        rss: Resident memory in KiB.
        private: What it has written itself, in KiB; other processes have no part in it.
        descriptors: Open file descriptors, sockets apart.
        threads: Threads.
        close_wait: TCP sockets that the other side has closed and this one has not.
        sockets: Open sockets.
    """

    at: float
    pid: int
    rss: int
    private: int
    descriptors: int
    threads: int
    close_wait: int
    sockets: int = 0


def read_process(pid: int) -> Reading | None:
    """Look at a process; None when it has ended."""
    proc = Path("/proc", str(pid))
    try:
        smaps = _fields(proc / "smaps_rollup")
        threads = _fields(proc / "status")["Threads"]
        links = [_target(link) for link in (proc / "fd").iterdir()]
        waiting = _inodes_in_close_wait(proc)
    except (OSError, KeyError):
        return None
    sockets = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    return Reading(
        time.monotonic(),
        pid,
        smaps["Rss"],
        smaps["Private_Dirty"],
        len(links) - len(sockets),
        threads,
        len(sockets & waiting),
        len(sockets),
    )


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of `Name: number` lines."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        value = rest.split()
        if value and value[0].isdigit():
            found[name] = int(value[0])
    return found


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed since it was listed, yet it was open
        return ""


def _inodes_in_close_wait(proc: Path) -> set[str]:
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in (proc / "net" / name).read_text().splitlines()[1:]
    ]
    return {row[9] for row in rows if row[3] == _CLOSE_WAIT}


def size_of(path: Path) -> int:
    """A file's size in bytes; 0 while there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0
