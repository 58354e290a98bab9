"""Leak or peak: what kind of trouble the sessions speak for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from remediator.core.leak import leak_age, leaked_groups
from remediator.core.model import IDLE, Level, Sample
from remediator.core.owner import Owner
from remediator.core.policy import Policy
from remediator.core.signs import signs
from remediator.core.text import duration, percent

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
        signs: What else is seen, and what it points to.
    """

    kind: Kind
    text: str
    signs: tuple[str, ...] = ()

    @property
    def evidence(self) -> str:
        """All of it in one line."""
        return "; ".join((self.text, *self.signs))


def diagnose(policy: Policy, level: Level, sample: Sample) -> Diagnosis | None:
    """Tell a leak from a load peak by what the sessions do; None when they cannot be seen, and below alert.

    In a leak at least half of the sessions are used by nobody any more. In a peak at least half are busy at
    the moment of the look. With few slots taken neither means anything: pools idle at night.

    Args:
        policy: Says which sessions are leaked.
        level: How serious it is, or is about to be.
        sample: The sample, with owners.
    """
    total = sum(group.count for group in sample.groups)
    if level < Level.ALERT or sample.slots is None or not total:
        return None
    age = leak_age(policy, level)
    held: Counter[Owner] = Counter()
    unused = 0
    groups = leaked_groups(policy, age, sample)
    for group in groups:
        held[group.owner] += group.count
        unused += group.count if group.unused else 0
    leaked = sum(held.values())
    busy = sum(group.count for group in sample.groups if not group.state.startswith(IDLE))
    text = f"{leaked} of {total} sessions idle for {duration(age)} or longer ({percent(leaked / total)})"
    if leaked:
        owner, most = held.most_common(1)[0]
        text += f", {most} of them of {owner.label}" if owner.known else ""
        text += f", {unused} never used" if unused else ""
    kind = Kind.LEAK if leaked / total >= _MOST else Kind.PEAK if busy / total >= _MOST else Kind.UNCLEAR
    young = _young(age, sample)
    text = "; ".join(part for part in (text, young, f"{busy} busy") if part)
    return Diagnosis(kind, text, tuple(signs(groups, sample)))


def _young(age: timedelta, sample: Sample) -> str:
    """Sessions that may come to count as leaked, so that it is seen where the slots are."""
    counted: Counter[str] = Counter()
    for group in sample.groups:
        if group.state.startswith(IDLE) and group.idle_for_at_least < age.total_seconds():
            counted["idle" if group.state == IDLE else "idle in a transaction"] += group.count
    parts = ", ".join(f"{number} {words}" for words, number in counted.most_common())
    return f"not yet for {duration(age)}: {parts}" if parts else ""
