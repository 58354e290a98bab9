"""An audit held against an earlier one: what is more, what is less, what is new, what is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from remediator.core.audit.report import Report
from remediator.core.audit.sessions import tally
from remediator.core.model import IDLE
from remediator.core.text import count

Named = tuple[str, str]
"""A finding's id and subject."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is compared of an audit of one database.

    Attributes:
        used: Slots in use; None when they could not be read.
        idle: Idle sessions by owner, in words.
        findings: The ids with their subjects.
        unlooked: Findings of audits before it that could not be looked at in this one.
        blind_since: How many audits after it could not read the server.
    """

    at: datetime
    used: int | None
    idle: Mapping[str, int]
    findings: frozenset[Named]
    unlooked: frozenset[Named] = frozenset()
    blind_since: int = 0

    @property
    def readable(self) -> bool:
        """Whether the server could be read."""
        return self.used is not None


def snapshot_of(report: Report) -> Snapshot:
    """What is compared of this report."""
    sample = report.facts.sample
    idle = replace(sample, groups=tuple(g for g in sample.groups if g.state == IDLE))
    return Snapshot(
        report.at,
        sample.slots.used if sample.slots else None,
        dict(tally(idle, lambda g: g.owner.label)),
        frozenset((f.id, f.subject) for f in report.findings),
        frozenset(report.unlooked),
    )


def compared(report: Report, before: Snapshot | None) -> Report:
    """The report with what is different from an earlier one; unchanged without one.

    What could not be looked at is not gone, and is remembered until it can be.
    """
    if before is None:
        return report
    known = before.findings | before.unlooked
    missing = known - {(f.id, f.subject) for f in report.findings}
    unlooked = tuple(sorted(one for one in missing if not report.facts.tell(*one)))
    report = replace(report, unlooked=unlooked)
    return replace(report, changes=tuple(_changes(before, snapshot_of(report))), since=before.at)


def _changes(before: Snapshot, now: Snapshot) -> Iterator[str]:
    if before.blind_since:
        yield f"{count(before.blind_since, 'audit')} since then could not read the server"
    if before.used is not None and now.used is not None:
        if before.used != now.used:
            noun = "used slot" if abs(now.used - before.used) == 1 else "used slots"
            yield f"{now.used - before.used:+d} {noun}, {now.used} now"
        more = Counter(now.idle)
        more.subtract(before.idle)
        for owner, number in sorted(more.items(), key=lambda item: (-abs(item[1]), item[0])):
            if number:
                noun = "idle session" if abs(number) == 1 else "idle sessions"
                yield f"{number:+d} {noun} of {owner}, {now.idle.get(owner, 0)} now"
    known = before.findings | before.unlooked
    yield from (f"new: {_named(one)}" for one in sorted(now.findings - known))
    yield from (f"gone: {_named(one)}" for one in sorted(known - now.findings - now.unlooked))
    yield from (f"not looked at: {_named(one)}" for one in sorted(now.unlooked))
    same = len(now.findings & known)
    if same:
        yield f"{count(same, 'finding')} as before"


def _named(finding: Named) -> str:
    return f"{finding[0]} ({finding[1]})"
