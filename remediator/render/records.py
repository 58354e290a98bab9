"""Values as plain records, for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.ledger import Entry, Incident
from remediator.core.model import Sample
from remediator.core.owner import Owner
from remediator.core.plan import Act, Action, Hold, Plan, Proposal, RestartReplica, StepPlan, TerminateSession
from remediator.core.record import to_record
from remediator.core.server import Holder
from remediator.core.trend import Trend
from remediator.render.look import Look
from remediator.render.standing import budget_records, in_force_record
from remediator.render.verdicts import reasons, verdict

Record = dict[str, Any]


def assessment_record(name: str, look: Look) -> Record:
    """What was found of one database, for JSON."""
    assessment, window, holder = look.assessment, look.maintenance, look.holder
    maintenance = {"until": window.until.isoformat(), "reason": window.reason} if window else None
    return {
        "database": name,
        "at": assessment.sample.moment.at.isoformat(),
        "level": verdict(assessment),
        "because": reasons(assessment),
        "maintenance": maintenance,
        **_orders_record(look),
        "right_to_act": _holder_record(holder) if holder else None,
        "diagnosis": _diagnosis_record(assessment),
        "trend": _trend_record(assessment.sample.trend),
        **sample_record(assessment.sample),
        "conditions": [
            {
                "level": f.level.label,
                "condition": f.condition,
                "evidence": f.evidence.value,
                "text": f.text,
            }
            for f in assessment.findings
        ],
        "recorded": assessment_record(name, Look(look.recorded)) if look.recorded else None,
    }


def _orders_record(look: Look) -> Record:
    """Pause and locks; of what was recorded they are not told."""
    if look.unread:
        return {"pause": None, "locks": None, "ledger": look.unread}
    if look.standing is None:
        return {}
    return {**in_force_record(look.standing.pause, look.standing.own), "ledger": None}


def _holder_record(holder: Holder) -> Record:
    return asdict(holder) | {"since": holder.since.isoformat() if holder.since else None}


def _diagnosis_record(assessment: Assessment) -> Record | None:
    diagnosis = assessment.diagnosis
    if diagnosis is None:
        return None
    return {"kind": diagnosis.kind.value, "text": diagnosis.text, "signs": list(diagnosis.signs)}


def _trend_record(trend: Trend) -> Record | None:
    """Where things have been going in the last minutes; None of a single look, which cannot tell."""
    if not trend.seconds:
        return None
    growth, churn, ended = trend.growth(), trend.churn(), trend.endings()
    return {
        "seconds": round(trend.seconds, 1),
        "growth": round(growth.per_second * 60, 2) if growth else None,
        "exhausted_in": round(growth.exhausted_in, 1) if growth and growth.exhausted_in is not None else None,
        "churn": round(churn, 3) if churn is not None else None,
        "ended": asdict(ended) if ended else None,
    }


def sample_record(sample: Sample) -> Record:
    """A sample for JSON."""
    record: Record = {"slots": None, "probe": None, "trouble": None, "sessions": []}
    if sample.slots is not None:
        slots = sample.slots
        record["slots"] = {
            "used": slots.used,
            "usable": slots.usable,
            "free": slots.free,
            "utilization": round(slots.utilization, 4),
            "max_connections": slots.max_connections,
            "superuser_reserved": slots.superuser_reserved,
            "reserved": slots.reserved,
        }
    if sample.probe is not None:
        probe = sample.probe
        record["probe"] = {
            "result": probe.result.value,
            "sqlstate": probe.sqlstate,
            "detail": probe.detail,
            "seconds": round(probe.seconds, 4),
        }
    if sample.trouble is not None:
        record["trouble"] = {"kind": sample.trouble.kind.value, "detail": sample.trouble.detail}
    record["sessions"] = [
        {
            "user": g.user,
            "application": g.application,
            "address": g.address,
            "state": g.state,
            "idle_for_at_least": g.idle_for_at_least,
            "unused": g.unused,
            "owner": _owner_record(g.owner),
            "count": g.count,
        }
        for g in sample.groups
    ]
    record["untold"] = sample.untold or None
    record["begun_within_a_minute"] = sample.recent
    counters = sample.counters
    record["counters"] = asdict(counters) if counters else None
    return record


def _owner_record(owner: Owner) -> Record:
    return {"kind": owner.kind.value, "name": owner.name}


def plan_record(
    name: str,
    assessment: Assessment,
    plan: Plan,
    standing: Standing | None = None,
    incident: Incident | None = None,
) -> Record:
    """One database's plan for JSON, with the open incident, what is in force, what is left of each limit."""
    in_force: Record = {}
    if standing is not None:
        in_force = in_force_record(standing.pause, standing.locks) | {"budgets": budget_records(standing)}
    return {
        **in_force,
        "database": name,
        "at": assessment.sample.moment.at.isoformat(),
        "level": verdict(assessment),
        "because": reasons(assessment),
        "incident": {"id": incident.id, "opened_at": incident.opened_at.isoformat()} if incident else None,
        "objections": [o.value for o in plan.objections],
        "detail": plan.detail,
        "steps": [_step_record(step) for step in plan.steps],
    }


def _step_record(step: StepPlan) -> Record:
    return {
        "step": step.index + 1,
        "label": step.step.label,
        "if_still_critical": step.conditional,
        "objections": [o.value for o in step.objections],
        "detail": step.detail,
        "proposals": [_proposal_record(p) for p in step.proposals],
    }


def _proposal_record(proposal: Proposal) -> Record:
    target = _target_record(proposal.action)
    match proposal:
        case Act(because=because):
            return {"decision": "act", **target, "because": because}
        case Hold(objections=objections, detail=detail):
            return {
                "decision": "hold",
                **target,
                "objections": [o.value for o in objections],
                "detail": detail,
            }


def _target_record(action: Action) -> Record:
    match action:
        case TerminateSession(session):
            return {
                "action": "terminate",
                "pid": session.id.pid,
                "backend_start": session.id.backend_start.isoformat(),
                "user": session.user,
                "application": session.application,
                "address": session.address,
                "state": session.state,
                "owner": _owner_record(session.owner),
                "idle_for": round(session.idle_for, 1),
            }
        case RestartReplica(replica):
            return {
                "action": "restart",
                "service": replica.service,
                "replica": replica.name,
                "id": replica.id,
                "stop_timeout": replica.stop_timeout.total_seconds(),
            }


def history_record(incident: Incident, entries: Iterable[Entry]) -> Record:
    """One incident with its actions for JSON."""
    return {**to_record(incident), "entries": [_entry_record(entry) for entry in entries]}


def _entry_record(entry: Entry) -> Record:
    outcome = to_record(entry.outcome) if entry.outcome else None
    return {"id": entry.id, **to_record(entry.intent), "outcome": outcome}
