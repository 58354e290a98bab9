"""What a higher `max_connections` would cost in memory, as far as that can be told from outside."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from remediator.core.audit.budget import Budget
from remediator.core.audit.catalogue import Catalogue
from remediator.core.audit.facts import Facts
from remediator.core.audit.sql import set_for_server

MEGABYTE = 1024**2
IDLE_BACKEND = 5 * MEGABYTE
"""A backend that waits, shared memory left out. Measured on 15, 16 and 18: 1.2 MB of its own when it is new,
2.4 MB after a few statements and a look over the whole catalogue; the rest is for caches of large schemas."""
SLOT = 50 * 1024
"""Shared memory that a slot takes, used or not, as measured with the default `max_locks_per_transaction`."""
_STEP = 50
_ROOM = 1.25


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What more slots would cost.

    Attributes:
        now: `max_connections`.
        wanted: What it would be.
        because: Why that many.
        least: Bytes if all of the new sessions wait.
        most: Bytes if each of them runs one statement that takes all of `work_mem` once.
        shared_buffers: Bytes, for comparison.
        statements: What sets it; it takes a restart.
    """

    now: int
    wanted: int
    because: str
    least: int
    most: int
    shared_buffers: int
    statements: tuple[str, ...]


def estimate(facts: Facts, budget: Budget | None) -> MemoryEstimate | None:
    """Estimate it; None when the server's settings are not known."""
    catalogue, slots = facts.catalogue, facts.sample.slots
    if catalogue is None or slots is None:
        return None
    kept = slots.max_connections - slots.usable
    if budget is not None and budget.known:
        needed, because = budget.peak, "so that the budget's peak leaves a fifth of the slots free"
        if needed * _ROOM + kept <= slots.max_connections:
            return _enough(slots.max_connections)
    else:
        needed, because = slots.usable, "a quarter more than now, for want of a budget"
    wanted = _STEP * ceil((needed * _ROOM + kept) / _STEP)
    more = wanted - slots.max_connections
    return MemoryEstimate(
        now=slots.max_connections,
        wanted=wanted,
        because=because,
        least=more * (IDLE_BACKEND + SLOT),
        most=more * (IDLE_BACKEND + SLOT + _statement(catalogue)),
        shared_buffers=int(catalogue.number("shared_buffers")),
        statements=(set_for_server("max_connections", wanted),),
    )


def _enough(slots: int) -> MemoryEstimate:
    return MemoryEstimate(slots, slots, "the budget's peak leaves a fifth of the slots free", 0, 0, 0, ())


def _statement(catalogue: Catalogue) -> int:
    """Bytes that one sort or hash of a statement may take."""
    return int(catalogue.number("work_mem") * max(1.0, catalogue.number("hash_mem_multiplier")))
