"""The workers of one run (pytest-xdist): how tests are shared out to them, and what one does at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Who waits comes first and who computes last, so that no worker is left alone with something long at the end.
_ORDER = ("e2e", "faults", "integration", "contract", "simulation", "property", "unit", "architecture")
_TESTS = Path(__file__).parents[1]


def share_out(items: list[pytest.Item]) -> None:
    """Keep the tests of a file together, for what they share, and put the long ones first.

    Args:
        items: What was collected; put into order and marked.
    """
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(_TESTS).parts[0]))
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(_TESTS).as_posix()))


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
