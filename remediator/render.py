"""Values as people and programs read them: plain records for JSON, text for a terminal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from remediator.core.assess import Assessment
from remediator.core.ledger import Entry, Incident, Ledger
from remediator.core.model import Evidence, Level, Sample
from remediator.core.plan import (
    Act,
    Action,
    Hold,
    Plan,
    Proposal,
    RestartReplica,
    StepPlan,
    TerminateSession,
)
from remediator.core.record import to_record
from remediator.core.text import count, duration

Record = dict[str, Any]


def shown_level(assessment: Assessment) -> Level:
    """The level that one sample alone suggests: no dwell time has to pass for somebody who just asks."""
    return max(assessment.level, assessment.pending or Level.NORMAL)


def shown_unknown(assessment: Assessment) -> bool:
    """Whether the level might be higher than the shown one."""
    level = shown_level(assessment)
    return any(e is Evidence.UNKNOWN for at, e in assessment.evidence.items() if at > level)


def verdict(assessment: Assessment) -> str:
    """The shown level's name, or `unknown`."""
    return "unknown" if shown_unknown(assessment) else shown_level(assessment).label


def reasons(assessment: Assessment) -> list[str]:
    """Why the verdict is what it is, most telling first."""
    wanted = Evidence.UNKNOWN if shown_unknown(assessment) else Evidence.BREACH
    level = shown_level(assessment)
    found = [
        f.text
        for f in assessment.findings
        if f.evidence is wanted and (wanted is Evidence.UNKNOWN or f.level is level)
    ]
    return list(dict.fromkeys(found)) or [f.text for f in assessment.findings if f.level is Level.CRITICAL]


def assessment_record(name: str, assessment: Assessment) -> Record:
    """One database's assessment for JSON."""
    return {
        "database": name,
        "at": assessment.sample.moment.at.isoformat(),
        "level": verdict(assessment),
        "because": reasons(assessment),
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
            "count": g.count,
        }
        for g in sample.groups
    ]
    return record


def plan_record(name: str, assessment: Assessment, plan: Plan) -> Record:
    """One database's plan for JSON."""
    return {
        "database": name,
        "at": assessment.sample.moment.at.isoformat(),
        "level": verdict(assessment),
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


def assessment_lines(name: str, assessment: Assessment) -> Iterator[str]:
    """One database's assessment for a person."""
    yield f"{name}: {verdict(assessment)}"
    for reason in reasons(assessment):
        yield f"  {reason}"
    sample = assessment.sample
    if sample.slots is not None:
        slots = sample.slots
        kept = slots.superuser_reserved + slots.reserved
        total = f"{slots.max_connections} less {kept} reserved"
        yield f"  {slots.free} free of {slots.usable} usable slots ({total})"
    by_application: Counter[tuple[str, str]] = Counter()
    for group in sample.groups:
        by_application[group.application or group.user or "unnamed", group.state or "unknown"] += group.count
    for (application, state), sessions in by_application.most_common():
        yield f"  {sessions:>5}  {application}  {state}"


def plan_lines(name: str, assessment: Assessment, plan: Plan, *, every: bool) -> Iterator[str]:
    """One database's plan for a person.

    Args:
        name: The database.
        assessment: The sample it rests on, judged.
        plan: The plan.
        every: List every single session that is held, not only how many and why.
    """
    yield f"{name}: {verdict(assessment)}; if critical were confirmed now:"
    for objection in plan.objections:
        yield f"  nothing would be done: {objection.meaning}"
    if plan.detail:
        yield f"    {plan.detail}"
    for step in plan.steps:
        condition = " (only if critical still)" if step.conditional else ""
        yield f"  step {step.index + 1}: {step.step.label}{condition}"
        yield from (f"    {line}" for line in _step_lines(step, every=every))


def _step_lines(step: StepPlan, *, every: bool) -> Iterator[str]:
    for objection in step.objections:
        yield f"no: {objection.meaning}" + (f" ({step.detail})" if step.detail else "")
    for act in step.acts:
        yield f"act   {_describe(act.action)}: {act.because}"
    sessions = [h for h in step.holds if isinstance(h.action, TerminateSession)]
    others = [h for h in step.holds if not isinstance(h.action, TerminateSession)]
    for hold in others if not every else step.holds:
        yield f"hold  {_describe(hold.action)}: {_why(hold)}"
    if not every and sessions:
        summary = Counter(_why(hold) for hold in sessions)
        for why, number in summary.most_common():
            yield f"spare {count(number, 'session')}: {why}"


def _describe(action: Action) -> str:
    match action:
        case TerminateSession(session):
            where = session.address or "local"
            return f"{action.label}, user {session.user}, from {where}"
        case RestartReplica(replica):
            return f"{action.label}, stop timeout {duration(replica.stop_timeout)}"


def _why(hold: Hold) -> str:
    words = ", ".join(objection.meaning for objection in hold.objections)
    return f"{words} ({hold.detail})" if hold.detail else words


def history_lines(incident: Incident, entries: Sequence[Entry], now: datetime) -> Iterator[str]:
    """One incident with its actions for a person."""
    lasted = duration((incident.closed_at or now) - incident.opened_at)
    yield f"{incident.id}  {incident.phase}  {lasted}  {incident.because}"
    done = Counter(_tally(entry) for entry in entries)
    for tally, number in done.items():
        yield f"  {number:>5}  {tally}"


def _tally(entry: Entry) -> str:
    result = entry.outcome.result.value if entry.outcome else "open"
    match entry.intent.action:
        case TerminateSession(session):
            return f"terminate {session.application or session.user}: {result}"
        case RestartReplica(replica):
            detail = f" ({entry.outcome.detail})" if entry.outcome and entry.outcome.detail else ""
            return f"restart {replica.name}: {result}{detail}"


def standing_lines(ledger: Ledger, now: datetime) -> Iterator[str]:
    """Pause and locks in force, for a person."""
    if ledger.pause is not None and ledger.pause.holds_at(now):
        until = (
            f"until {ledger.pause.until:%Y-%m-%d %H:%M:%S} UTC" if ledger.pause.until else "until `resume`"
        )
        yield f"paused {until}" + (f": {ledger.pause.reason}" if ledger.pause.reason else "")
    for lock in ledger.locks:
        yield f"locked {lock.scope} since {lock.since:%Y-%m-%d %H:%M:%S} UTC: {lock.reason}; `ack` unlocks it"


def nagios_line(name: str, assessment: Assessment, thresholds: Mapping[Level, float]) -> str:
    """One database as a monitoring plugin says it: status, reason, performance data."""
    words = {"normal": "OK", "critical": "CRITICAL", "unknown": "UNKNOWN"}
    status = words.get(verdict(assessment), "WARNING")
    why = "; ".join(reasons(assessment)).replace("|", "/")  # a bar would begin the performance data
    line = f"{status} - {name}: {why}"
    slots = assessment.sample.slots
    if slots is None:
        return line
    warn, crit = (
        round(thresholds[level] * slots.usable, 1) if level in thresholds else ""
        for level in (Level.MONITOR, Level.CRITICAL)
    )
    return f"{line} | {name}_used={slots.used};{warn};{crit};0;{slots.usable}"
