"""Small file systems of a test's own, and filling them."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.testbed.missing import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def small_disk(where: Path, size: str = "1m") -> Iterator[Path]:
    """Mount a file system of this size; it is unmounted at the end."""
    where.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(where)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"file systems cannot be mounted here (needs root): {done.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


def made_read_only(where: Path) -> Callable[[], None]:
    """Make a directory read-only for everyone, root included; return what undoes it, once or more often."""
    for options in (["--bind", str(where)], ["-o", "remount,bind,ro"]):
        done = subprocess.run(["mount", *options, str(where)], capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"file systems cannot be mounted here (needs root): {done.stderr.strip()}")

    def undo() -> None:
        subprocess.run(["umount", "--lazy", where], capture_output=True, check=False)

    return undo


def fill(where: Path) -> Path:
    """Use up all space; return the file to remove."""
    ballast = where / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast
