"""Values as the plain fields of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from remediator.core.assess import Assessment
from remediator.core.finding import texts
from remediator.core.idling import idle_in_transaction, never_used
from remediator.core.leak import MINUTE
from remediator.core.model import Evidence
from remediator.core.plan import Action, Plan, RestartReplica, StepPlan, TerminateSession
from remediator.core.server import Holder


def states(assessment: Assessment) -> Mapping[str, int]:
    """Count client sessions by state."""
    counted: dict[str, int] = {}
    for group in assessment.sample.groups:
        state = group.state or "unknown"
        counted[state] = counted.get(state, 0) + group.count
    return counted


def unknown_because(assessment: Assessment) -> str:
    """What is not known of an assessment, in words."""
    unknown = (f for f in assessment.findings if f.evidence is Evidence.UNKNOWN)
    return "; ".join(texts(unknown, assessment.sample))


def motion(assessment: Assessment, since: float | None) -> dict[str, object]:
    """Where things are going, as far as that is known, and what kind of trouble it is.

    Args:
        assessment: The newest.
        since: When this was asked last, on the monotonic clock.
    """
    sample = assessment.sample
    fields: dict[str, object] = {
        "never_used": never_used(sample, MINUTE),
        "idle_in_transaction": idle_in_transaction(sample, MINUTE),
    }
    growth, churn, ended = sample.trend.growth(), sample.trend.churn(), sample.trend.endings(since)
    if ended is not None:
        fields["ended"] = asdict(ended)
    if growth is not None:
        fields["growth"] = round(growth.per_second * 60, 2)
        if growth.exhausted_in is not None:
            fields["exhausted_in"] = round(growth.exhausted_in, 1)
    if churn is not None:
        fields["churn"] = round(churn, 3)
    if assessment.diagnosis is not None:
        fields["diagnosis"] = assessment.diagnosis.kind.value
    return fields


def owners(assessment: Assessment) -> Mapping[str, int]:
    """Count client sessions by whose they are, most first."""
    counted: Counter[str] = Counter()
    for group in assessment.sample.groups:
        counted[group.owner.label] += group.count
    return dict(counted.most_common())


def holder_fields(holder: Holder | None) -> dict[str, object]:
    """Who has the right to act, as plain fields."""
    if holder is None:
        return {}
    return {
        "because": f"{holder.text} has the right to act",
        "pid": holder.pid or None,
        "user": holder.user,
        "application": holder.application,
        "address": holder.address,
        "since": holder.since.isoformat() if holder.since else None,
    }


def action_fields(action: Action) -> dict[str, object]:
    """An action as plain fields."""
    match action:
        case TerminateSession(session):
            return {
                "action": "terminate",
                "pid": session.id.pid,
                "user": session.user,
                "application": session.application,
                "address": session.address,
                "owner": session.owner.label,
                "idle_for": round(session.idle_for, 1),
            }
        case RestartReplica(replica):
            return {"action": "restart", "service": replica.service, "replica": replica.name}


def step_fields(step: StepPlan) -> dict[str, object]:
    """A planned step as plain fields, its holds counted by objection."""
    holds = Counter(objection.value for hold in step.holds for objection in hold.objections)
    return {
        "step": step.step.label,
        "acts": len(step.acts),
        "holds": dict(holds),
        "objections": [o.value for o in step.objections],
        "detail": step.detail,
        "conditional": step.conditional,
    }


def hold_reasons(plan: Plan) -> str:
    """Why a plan has nothing to do, step by step, in words."""
    if plan.objections:
        return plan.because
    parts = []
    for step in plan.steps:
        objections = step.objections or tuple(dict.fromkeys(o for h in step.holds for o in h.objections))
        words = ", ".join(o.meaning for o in objections) or "had its turn"
        detail = f" ({step.detail})" if step.detail else ""
        parts.append(f"{step.step.label}: {words}{detail}")
    return "; ".join(filter(None, (*parts, plan.detail))) or "every step had its turn"
