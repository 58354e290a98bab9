"""Reports as plain records, for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from remediator.core.audit.budget import Budget
from remediator.core.audit.compare import Snapshot
from remediator.core.audit.facts import Busiest
from remediator.core.audit.finding import Finding, Severity
from remediator.core.audit.memory import MemoryEstimate
from remediator.core.audit.report import Report
from remediator.core.audit.sessions import Holding, holdings, idle_for
from remediator.core.model import IDLE, Mode
from remediator.core.owner import Owner, OwnerKind
from remediator.core.times import instant, read_instant
from remediator.render.records import plan_record, sample_record
from remediator.render.verdicts import reasons, verdict

SCHEMA = 1
Record = dict[str, Any]


def audit_record(reports: Sequence[Report], mode: Mode, at: datetime) -> Record:
    """An audit of all databases for JSON.

    Args:
        reports: One for each.
        mode: Whose budgets the plans go by.
        at: When it was made.
    """
    return {
        "schema": SCHEMA,
        "kind": "audit",
        "at": instant(at),
        "mode": mode.value,
        "worst": max((report.worst for report in reports), default=Severity.NOTE).label,
        "databases": [_report_record(report) for report in reports],
    }


def read_snapshots(record: Any) -> dict[str, Snapshot]:
    """What is compared of an audit, by database, from what `audit_record` wrote.

    Raises:
        ValueError: It is no audit, or of a newer schema.
    """
    try:
        if (record["schema"], record["kind"]) != (SCHEMA, "audit"):
            raise ValueError("is not an audit, or one of a newer version")
        return {one["database"]: _read_snapshot(one) for one in record["databases"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is not an audit: {type(error).__name__} {error}") from error


def _read_snapshot(record: Record) -> Snapshot:
    idle: Counter[str] = Counter()
    for group in record["sessions"]:
        if group["state"] == IDLE:
            owner = Owner(OwnerKind(group["owner"]["kind"]), group["owner"]["name"])
            idle[owner.label] += int(group["count"])
    return Snapshot(
        read_instant(record["at"]),
        int(record["slots"]["used"]) if record["slots"] else None,
        idle,
        _named(record["findings"]),
        _named(record["changes"].get("not_looked_at", ())),
    )


def _named(findings: Iterable[Record]) -> frozenset[tuple[str, str]]:
    return frozenset((str(finding["id"]), str(finding["subject"])) for finding in findings)


def _report_record(report: Report) -> Record:
    facts, plan = report.facts, report.turn.plan
    since = None if report.since is None else instant(report.since)
    return {
        "database": facts.database,
        "at": instant(report.at),
        "level": verdict(report.assessment),
        "because": reasons(report.assessment),
        **sample_record(facts.sample),
        "long_idle": [_holding_record(h) for h in holdings(facts.sample, idle_for(facts.leak_age))],
        "limits": _limits(report),
        "budget": _budget_record(report.budget),
        "memory": _memory_record(report.memory),
        "busiest": _busiest_record(facts.busiest),
        "churn": asdict(facts.churn) if facts.churn else None,
        "settings": {
            name: {"value": s.value, "unit": s.unit, "hidden": s.own, "pending": s.pending}
            for name, s in (facts.catalogue.settings if facts.catalogue else {}).items()
        },
        "plan": plan_record(facts.database, report.assessment, plan) if plan else None,
        "severities": dict(report.severities),
        "findings": [_finding_record(finding) for finding in report.findings],
        "changes": {
            "since": since,
            "lines": list(report.changes),
            "not_looked_at": [{"id": one, "subject": subject} for one, subject in report.unlooked],
        },
    }


def _busiest_record(busiest: Busiest | None) -> Record | None:
    return None if busiest is None else {**asdict(busiest), "at": instant(busiest.at)}


def _holding_record(held: Holding) -> Record:
    return {
        "owner": {"kind": held.owner.kind.value, "name": held.owner.name},
        "user": held.user,
        "application": held.application,
        "count": held.count,
        "idle_for_at_least": held.idle_for,
        "since": None if held.since is None else instant(held.since),
    }


def _limits(report: Report) -> list[Record]:
    catalogue = report.facts.catalogue
    if catalogue is None:
        return []
    limited: Iterable[tuple[str, str, int, int]] = (
        *(("role", r.name, r.sessions, r.limit) for r in catalogue.roles if not r.superuser),
        *(("database", p.name, p.sessions, p.limit) for p in catalogue.places),
    )
    return [
        {"kind": kind, "name": name, "sessions": sessions, "limit": limit}
        for kind, name, sessions, limit in limited
        if limit >= 0
    ]


def _budget_record(budget: Budget | None) -> Record | None:
    if budget is None:
        return None
    return {
        "usable": budget.usable,
        "others": budget.others,
        "normal": budget.normal if budget.known else None,
        "peak": budget.peak if budget.known else None,
        "margin": budget.usable - budget.peak if budget.known else None,
        "services": [asdict(line) for line in budget.lines],
    }


def _memory_record(memory: MemoryEstimate | None) -> Record | None:
    if memory is None:
        return None
    return {
        "max_connections": memory.now,
        "wanted": memory.wanted,
        "because": memory.because,
        "least_bytes": memory.least,
        "most_bytes": memory.most,
        "shared_buffers_bytes": memory.shared_buffers,
        "statements": list(memory.statements),
    }


def _finding_record(finding: Finding) -> Record:
    return {
        "id": finding.id,
        "severity": finding.severity.label,
        "title": finding.title,
        "subject": finding.subject,
        "evidence": finding.evidence,
        "why": finding.why,
        "fix": finding.fix,
        "statements": list(finding.statements),
    }
