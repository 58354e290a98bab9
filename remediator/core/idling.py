"""Conditions about sessions that take a slot and do nothing: idle, never used, idle in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache

from remediator.core.finding import Finding, why_unknown
from remediator.core.model import IDLE, Evidence, Level, Sample, SessionGroup
from remediator.core.policy import Conditions, IdleCount
from remediator.core.text import count, duration, percent


def idling_findings(conditions: Conditions, level: Level, sample: Sample) -> Iterator[Finding]:
    """Say what a sample means for a level's conditions about idle sessions."""
    if conditions.idle is not None:
        found = sample.idle_older_than(conditions.idle.older_than)
        yield _finding("idle", "idle", conditions.idle, level, sample, found)
    if conditions.never_used is not None:
        found = never_used(sample, conditions.never_used.older_than)
        yield _finding("never_used", "never used and idle", conditions.never_used, level, sample, found)
    if conditions.idle_in_transaction is not None:
        asked = conditions.idle_in_transaction
        found = idle_in_transaction(sample, asked.older_than)
        yield _finding("idle_in_transaction", "idle in a transaction", asked, level, sample, found)


def never_used(sample: Sample, older_than: timedelta) -> int:
    """Count the sessions that never ran a statement.

    Args:
        sample: The sample.
        older_than: For how long they must have been there; a cutoff of the sample.
    """
    return _count(sample, older_than, lambda group: group.unused and group.state == IDLE)


def idle_in_transaction(sample: Sample, older_than: timedelta) -> int:
    """Count the sessions that hold a transaction open, an aborted one too, and run no statement.

    Args:
        sample: The sample.
        older_than: Since when no statement has run; a cutoff of the sample.
    """
    return _count(sample, older_than, lambda group: group.state != IDLE and group.state.startswith(IDLE))


def _count(sample: Sample, older_than: timedelta, counts: Callable[[SessionGroup], bool]) -> int:
    seconds = older_than.total_seconds()
    return sum(g.count for g in sample.groups if g.idle_for_at_least >= seconds and counts(g))


def _finding(
    condition: str, words: str, asked: IdleCount, level: Level, sample: Sample, found: int
) -> Finding:
    if sample.slots is None:
        text = f"sessions {words} unknown: {why_unknown(sample)}"
        return Finding(level, condition, Evidence.UNKNOWN, text)
    return _found(condition, words, asked, level, found, asked.least(sample.slots.usable))


@lru_cache(maxsize=1024)  # hardly anything changes from one look to the next
def _found(condition: str, words: str, asked: IdleCount, level: Level, found: int, least: int) -> Finding:
    text = f"{count(found, 'session')} {words} for {duration(asked.older_than)} or longer"
    if found < least:
        return Finding(level, condition, Evidence.CLEAR, text)
    share = f" ({percent(asked.count)} of the usable slots)" if isinstance(asked.count, float) else ""
    return Finding(level, condition, Evidence.BREACH, f"{text}, at least {least}{share}")
