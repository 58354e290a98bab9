"""The workers of one run (pytest-xdist): the order of their work, and what one does at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

# Who waits comes first and who computes last, so that no worker is left alone with something long at the end.
_LAST = ("integration", "contract", "simulation", "property", "unit", "architecture")
_TESTS = Path(__file__).parents[1]


def longest_first(items: list[pytest.Item]) -> None:
    """Put the tests into the order in which workers take them, file by file."""

    def turn(item: pytest.Item) -> int:
        directory = item.path.relative_to(_TESTS).parts[0]
        return _LAST.index(directory) if directory in _LAST else -1

    items.sort(key=turn)


def worker() -> tuple[int, int]:
    """Which of the run's workers this process is, from 0, and how many there are."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return int(name.removeprefix("gw")), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Wait until no other process of this user is at the same thing.

    Args:
        what: Names it; part of a file's name.
    """
    path = Path(tempfile.gettempdir()) / f"remediator-tests-{os.getuid()}-{what}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
