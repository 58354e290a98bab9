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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is compared of an audit of one database.

    Attributes:
        used: Slots in use; None when they could not be read.
        idle: Idle sessions by owner, in words.
        findings: The ids with their subjects.
    """

    at: datetime
    used: int | None
    idle: Mapping[str, int]
    findings: frozenset[tuple[str, str]]


def snapshot_of(report: Report) -> Snapshot:
    """What is compared of this report."""
    sample = report.facts.sample
    idle = replace(sample, groups=tuple(g for g in sample.groups if g.state == IDLE))
    return Snapshot(
        report.at,
        sample.slots.used if sample.slots else None,
        dict(tally(idle, lambda g: g.owner.label)),
        frozenset((f.id, f.subject) for f in report.findings),
    )


def compared(report: Report, before: Snapshot | None) -> Report:
    """The report with what is different from an earlier one; unchanged without one."""
    if before is None:
        return report
    return replace(report, changes=tuple(_changes(before, snapshot_of(report))), since=before.at)


def _changes(before: Snapshot, now: Snapshot) -> Iterator[str]:
    if before.used is not None and now.used is not None:
        if before.used != now.used:
            yield f"{now.used - before.used:+d} used slots, {now.used} now"
        more = Counter(now.idle)
        more.subtract(before.idle)
        for owner, number in sorted(more.items(), key=lambda item: (-abs(item[1]), item[0])):
            if number:
                noun = "idle session" if abs(number) == 1 else "idle sessions"
                yield f"{number:+d} {noun} of {owner}, {now.idle.get(owner, 0)} now"
    yield from (f"new: {_named(one)}" for one in sorted(now.findings - before.findings))
    yield from (f"gone: {_named(one)}" for one in sorted(before.findings - now.findings))
    same = len(now.findings & before.findings)
    if same:
        yield f"{count(same, 'finding')} as before"


def _named(finding: tuple[str, str]) -> str:
    return f"{finding[0]} ({finding[1]})"
