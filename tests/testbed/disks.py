"""Small file systems of a test's own, and filling them."""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from tests.testbed.missing import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def mounted(where: Path, source: str | Path, *options: str) -> Iterator[Path]:
    """Mount a file system for its owner alone; it is unmounted at the end.

    Args:
        where: Where to; made if it is not there.
        source: What to mount.
        options: For the `mount` command.
    """
    where.mkdir(parents=True, exist_ok=True)
    _mount(*options, source, where)
    try:
        where.chmod(0o700)
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


def small_disk(where: Path, size: str = "1m") -> AbstractContextManager[Path]:
    """Mount a file system of this size; it is unmounted at the end."""
    return mounted(where, "tmpfs", "-t", "tmpfs", "-o", f"size={size}")


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"file systems cannot be mounted here (needs root): {done.stderr.strip()}")


def made_read_only(where: Path) -> Callable[[], None]:
    """Make a directory read-only for everyone, root included; return what undoes it, once or more often."""
    for options in (["--bind", str(where)], ["-o", "remount,bind,ro"]):
        _mount(*options, where)

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
