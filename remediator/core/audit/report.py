"""The report of an audit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from remediator.core.assess import Assessment
from remediator.core.audit.budget import Budget, budget_of
from remediator.core.audit.facts import Facts
from remediator.core.audit.finding import Finding, Severity, findings_of
from remediator.core.audit.memory import MemoryEstimate, estimate
from remediator.core.audit.rules import RULES
from remediator.core.turn import Turn


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit of one database came to.

    Attributes:
        turn: The judgement of the sample, and what the policy would do now.
        changes: What is different from the last audit, one line each.
        since: When that was; None without one.
        unlooked: Findings of that one, by id and subject, that could not be looked at in this one.
    """

    facts: Facts
    turn: Turn
    findings: tuple[Finding, ...]
    budget: Budget | None
    memory: MemoryEstimate | None
    changes: tuple[str, ...] = ()
    since: datetime | None = None
    unlooked: tuple[tuple[str, str], ...] = ()
    severities: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        counted = Counter({severity.label: 0 for severity in Severity})
        counted.update(finding.severity.label for finding in self.findings)
        object.__setattr__(self, "severities", counted)

    @property
    def at(self) -> datetime:
        """When it was made."""
        return self.facts.sample.moment.at

    @property
    def assessment(self) -> Assessment:
        """The judgement of the sample."""
        return self.turn.assessment

    @property
    def readable(self) -> bool:
        """Whether the server could be read."""
        return self.facts.sample.slots is not None and self.facts.catalogue is not None

    @property
    def worst(self) -> Severity:
        """The severity of the worst finding; a note when there is none."""
        return max((finding.severity for finding in self.findings), default=Severity.NOTE)


def report_on(facts: Facts, turn: Turn) -> Report:
    """Make the report.

    Args:
        facts: What is known.
        turn: What the policy makes of it.
    """
    budget = budget_of(facts)
    return Report(facts, turn, findings_of(RULES, facts), budget, estimate(facts, budget))
