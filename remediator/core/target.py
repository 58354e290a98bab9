"""How many sessions must go for the target to be reached, and which of them first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from remediator.core.idling import never_used
from remediator.core.model import Level, Sample, Session
from remediator.core.policy import Conditions, Policy


def in_turn(policy: Policy, sample: Sample, eligible: Sequence[Session]) -> tuple[list[Session], int]:
    """Put sessions into the order in which they are to go, and say how many of them the target needs.

    The target is `until`, and that the critical level's counts of idle and of never used sessions are met.
    Only sessions that were never used help the latter, so as many of them go first; otherwise the oldest.
    Slots held by clients that are still logging in are none that sessions could give back.

    Args:
        policy: The policy.
        sample: The sample it is decided on.
        eligible: The sessions that may go, oldest first.
    """
    sample = sample.logged_in()
    if sample.slots is None:
        return list(eligible), len(eligible)
    critical = policy.levels.get(Level.CRITICAL)
    conditions = critical.conditions if critical else Conditions()
    idle, unused, usable = conditions.idle, conditions.never_used, sample.slots.usable
    first: list[Session] = []
    if unused is not None:
        excess = never_used(sample, unused.older_than) - unused.least(usable) + 1
        first = [s for s in eligible if s.unused and _idle_for(s, unused.older_than)][: max(0, excess)]
    leading = {session.id for session in first}
    ordered = [*first, *(session for session in eligible if session.id not in leading)]
    needed = max(len(first), sample.slots.excess(policy.remediate.until))
    if idle is not None:
        excess = sample.idle_older_than(idle.older_than) - idle.least(usable) + 1
        old = [rank for rank, session in enumerate(ordered, 1) if _idle_for(session, idle.older_than)]
        if excess > 0 and old:
            needed = max(needed, old[min(excess, len(old)) - 1])
    return ordered, needed


def _idle_for(session: Session, cutoff: timedelta) -> bool:
    return session.idle_for >= cutoff.total_seconds()
