"""Assessments as a monitoring plugin says them: one status for all, and performance data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remediator.core.model import Level
from remediator.core.policy import Policy
from remediator.render.look import Look
from remediator.render.standing import order_lines
from remediator.render.verdicts import reasons, verdict

_WORDS = {"normal": "OK", "critical": "CRITICAL", "unknown": "UNKNOWN"}
_SEVERITY = ("OK", "WARNING", "UNKNOWN", "CRITICAL")


@dataclass(frozen=True, slots=True)
class _Service:
    """One database's part."""

    status: str
    text: str
    data: str


def nagios_lines(looks: Mapping[str, tuple[Look, Policy]]) -> Iterator[str]:
    """All databases as the guidelines for monitoring plugins want them.

    The first line begins with the worst status and ends with everybody's performance data; one line for
    each database follows when there are several, in which a bar would begin more performance data.

    Args:
        looks: What was found of each database, with the policy that has its thresholds.
    """
    parts = [_part(name, look, policy) for name, (look, policy) in looks.items()]
    worst = max(parts, key=lambda part: _SEVERITY.index(part.status))
    others = len(parts) - 1
    more = f" (worst of {len(parts)})" if others else ""
    yield f"{worst.status} - {worst.text}{more} | {' '.join(part.data for part in parts)}"
    if others:
        yield from (f"{part.status} - {part.text}" for part in parts)


def _part(name: str, look: Look, policy: Policy) -> _Service:
    assessment, standing = look.assessment, look.standing
    status = _WORDS.get(verdict(assessment), "WARNING")
    # A bar would begin the performance data, and a line is a line.
    orders = order_lines(standing, standing.own) if standing is not None else ()
    why = " ".join("; ".join((*reasons(assessment), *orders)).replace("|", "/").split())
    slots = assessment.sample.slots
    if slots is None:
        return _Service(status, f"{name}: {why}", f"'{name}_used'=U")
    warn, crit = (_threshold(policy, level, slots.usable) for level in (Level.MONITOR, Level.CRITICAL))
    return _Service(status, f"{name}: {why}", f"'{name}_used'={slots.used};{warn};{crit};0;{slots.usable}")


def _threshold(policy: Policy, level: Level, usable: int) -> str:
    rule = policy.levels.get(level)
    ratio = rule.conditions.utilization if rule else None
    return "" if ratio is None else str(round(ratio * usable, 1))
