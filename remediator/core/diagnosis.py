"""Leak or peak: what kind of trouble the sessions speak for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from remediator.core.model import IDLE, Level, Sample
from remediator.core.text import duration, percent

LONG_IDLE = timedelta(minutes=1)
"""Who is busy uses a session more often than this."""

_MOST = 0.5


class Kind(StrEnum):
    """What holds the slots, as far as it can be told. Values are stable: they appear in output."""

    LEAK = "leak"
    PEAK = "peak"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What kind of trouble it is.

    Attributes:
        text: The evidence in words.
    """

    kind: Kind
    text: str


def diagnosis_at(level: Level, sample: Sample) -> Diagnosis | None:
    """The diagnosis, where there is something to be diagnosed: from alert on."""
    return diagnose(sample) if level >= Level.ALERT else None


def diagnose(sample: Sample) -> Diagnosis | None:
    """Tell a leak from a load peak by what the sessions do; None when they cannot be seen.

    In a leak at least half of the sessions are used by nobody any more. In a peak at least half are busy at
    the moment of the look. With few slots taken neither means anything: pools idle at night.
    """
    total = sum(group.count for group in sample.groups)
    if sample.slots is None or not total:
        return None
    idle = Counter({group.owner: 0 for group in sample.groups})
    unused = busy = 0
    for group in sample.groups:
        busy += 0 if group.state.startswith(IDLE) else group.count
        if group.state.startswith(IDLE) and group.idle_for_at_least >= LONG_IDLE.total_seconds():
            idle[group.owner] += group.count
            unused += group.count if group.unused else 0
    long_idle = sum(idle.values())
    share = long_idle / total
    text = f"{long_idle} of {total} sessions idle for {duration(LONG_IDLE)} or longer ({percent(share)})"
    text += f", {busy} busy"
    if long_idle:
        owner, held = idle.most_common(1)[0]
        text += f", {held} of them of {owner.label}" if owner.known else ""
        text += f", {unused} never used" if unused else ""
    kind = Kind.LEAK if share >= _MOST else Kind.PEAK if busy / total >= _MOST else Kind.UNCLEAR
    return Diagnosis(kind, text)
