"""Measuring and printing."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median


@dataclass(slots=True)
class Spent:
    """What a stretch of work took, in seconds."""

    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def spending(*, children: bool = False) -> Iterator[Spent]:
    """Measure the processor and wall time of this process, or of the children that end meanwhile."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    spent = Spent()
    before, begun = resource.getrusage(who), time.perf_counter()
    yield spent
    after = resource.getrusage(who)
    spent.wall = time.perf_counter() - begun
    spent.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def heading(title: str) -> None:
    """Print a section's title."""
    print(f"\n{title}")


def line(what: str, value: str, aim: str = "") -> None:
    """Print one figure."""
    print(f"  {what:<58} {value:>14}" + (f"   aim {aim}" if aim else ""))


def milliseconds(seconds: float) -> str:
    """Write a time for the table."""
    return f"{seconds * 1000:.3f} ms"


def middle(values: list[float]) -> float:
    """The median."""
    return median(values)
