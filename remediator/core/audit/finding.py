"""What an audit finds: an id that stays, evidence, why it matters, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from remediator.core.audit.facts import Facts


class Severity(IntEnum):
    """How much a finding matters, in rising order."""

    NOTE = 0
    WARNING = 1
    PROBLEM = 2

    @property
    def label(self) -> str:
        """The name used in output and logs."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a rule holds.

    Attributes:
        subject: What it is about: a role, a service, the server.
        evidence: What was seen, with figures.
        statements: SQL that mends it, to be run by a superuser, one after the other.
        severity: Another one than the rule's.
        why: Why it matters here, where that is not what the rule says.
        fix: What mends it here.
    """

    subject: str
    evidence: str
    statements: tuple[str, ...] = ()
    severity: Severity | None = None
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something to look for.

    Attributes:
        id: A stable name: filters and comparisons go by it.
        severity: Unless the hit says another one.
        title: What is the matter, in a few words.
        why: Why it matters.
        fix: What mends it, where statements alone do not say it.
        check: Finds where it holds.
    """

    id: str
    severity: Severity
    title: str
    why: str
    fix: str
    check: Callable[[Facts], Iterable[Hit]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that holds somewhere."""

    id: str
    severity: Severity
    title: str
    subject: str
    evidence: str
    why: str
    fix: str
    statements: tuple[str, ...] = ()


def findings_of(rules: Iterable[Rule], facts: Facts) -> tuple[Finding, ...]:
    """Apply the rules; what matters most comes first."""
    found = [
        Finding(
            rule.id,
            rule.severity if hit.severity is None else hit.severity,
            rule.title,
            hit.subject,
            hit.evidence,
            hit.why or rule.why,
            hit.fix or rule.fix,
            hit.statements,
        )
        for rule in rules
        for hit in rule.check(facts)
    ]
    return tuple(sorted(found, key=lambda f: -f.severity))
