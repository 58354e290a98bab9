"""Putting a cycle's values into events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remediator.core.assess import Assessment
from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Outcome
from remediator.core.model import Level, Mode
from remediator.core.plan import Action, Plan, RestartReplica, StepPlan, TerminateSession
from remediator.ports import Observer


@dataclass(slots=True)
class Teller:
    """Tells the observer what one database's cycle does, once for each change."""

    observer: Observer
    database: str
    mode: Mode
    _unknown: bool = False
    _may_signal: bool = True
    _pending: Level | None = None
    _plan: object = None

    def emit(self, event: Event, incident: Incident | None = None, **fields: object) -> None:
        """Emit an event with what every event of a database carries."""
        if event is Event.INCIDENT_RELIEVED:
            self._plan = None  # after good news even the same bad news is news
        if incident is not None:
            fields["incident"] = incident.id
        self.observer.emit(event, database=self.database, mode=self.mode.value, **fields)

    def assessment(self, assessment: Assessment) -> None:
        """Tell level changes and lost or regained evidence."""
        level, previous = assessment.level, assessment.previous
        server = assessment.sample.server
        if server is not None:
            if self._may_signal and not server.can_signal:
                self.emit(
                    Event.MAY_NOT_SIGNAL, because="our role lacks pg_signal_backend; `doctor` says more"
                )
            self._may_signal = server.can_signal
        if assessment.unknown and not self._unknown:
            unknown = [f.text for f in assessment.findings if f.evidence == "unknown"]
            self.emit(Event.EVIDENCE_LOST, level=level.label, because="; ".join(dict.fromkeys(unknown)))
        elif self._unknown and not assessment.unknown:
            self.emit(Event.EVIDENCE_REGAINED, level=level.label)
        self._unknown = assessment.unknown
        if level is not previous:
            because = assessment.because(level) or "conditions cleared"
            self.emit(Event.LEVEL_CHANGED, level=level.label, previous=previous.label, because=because)
        if assessment.pending is not None and assessment.pending is not self._pending:
            because = assessment.because(assessment.pending)
            self.emit(Event.LEVEL_PENDING, level=assessment.pending.label, because=because)
        self._pending = assessment.pending

    def cycle(self, assessment: Assessment, incident: Incident | None, seconds: float) -> None:
        """Tell the canonical line of a cycle."""
        sample = assessment.sample
        fields: dict[str, object] = {"level": assessment.level.label, "unknown": assessment.unknown}
        if sample.slots is not None:
            slots = sample.slots
            fields |= {"used": slots.used, "usable": slots.usable, "utilization": round(slots.utilization, 4)}
            fields["states"] = states(assessment)
        if sample.probe is not None:
            fields["probe"] = sample.probe.result.value
        if sample.trouble is not None:
            fields["trouble"] = sample.trouble.kind.value
        self.emit(Event.CYCLE, incident, **fields, seconds=round(seconds, 4))

    def plan(self, incident: Incident, plan: Plan) -> None:
        """Tell a plan, unless it says the same as the last one told."""
        signature = (incident.id, incident.round, plan.objections, tuple(_signature(s) for s in plan.steps))
        if signature == self._plan:
            return
        self._plan = signature
        self.emit(
            Event.PLAN_MADE,
            incident,
            round=incident.round,
            steps=[step_fields(step) for step in plan.steps],
            objections=[o.value for o in plan.objections],
            detail=plan.detail,
        )
        if plan.held:
            self.emit(Event.INCIDENT_HELD, incident, because=hold_reasons(plan), round=incident.round)

    def intended(self, incident: Incident, entry: Entry) -> None:
        """Tell an intent."""
        fields = {**action_fields(entry.intent.action), "because": entry.intent.because}
        self.emit(Event.ACTION_INTENDED, incident, id=entry.id, **fields)

    def finished(self, entry: Entry, outcome: Outcome) -> None:
        """Tell the canonical line of an action."""
        self.observer.emit(
            Event.ACTION_FINISHED,
            database=self.database,
            mode=self.mode.value,
            incident=entry.intent.incident,
            id=entry.id,
            **action_fields(entry.intent.action),
            because=entry.intent.because,
            outcome=outcome.result.value,
            detail=outcome.detail,
            seconds=_seconds(entry.intent.at, outcome.at),
        )


def states(assessment: Assessment) -> Mapping[str, int]:
    """Count client sessions by state."""
    counted: Counter[str] = Counter()
    for group in assessment.sample.groups:
        counted[group.state or "unknown"] += group.count
    return dict(counted)


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


def _signature(step: StepPlan) -> object:
    held = frozenset(o for h in step.holds for o in h.objections)
    return step.index, bool(step.acts), step.objections, held, step.conditional


def _seconds(begin: datetime, end: datetime) -> float:
    return round((end - begin).total_seconds(), 3)


def hold_reasons(plan: Plan) -> str:
    """Why a plan has nothing to do, step by step, in words."""
    if plan.objections:
        words = ", ".join(objection.meaning for objection in plan.objections)
        return f"{words} ({plan.detail})" if plan.detail else words
    parts = []
    for step in plan.steps:
        objections = step.objections or tuple(dict.fromkeys(o for h in step.holds for o in h.objections))
        words = ", ".join(o.meaning for o in objections) or "had its turn"
        detail = f" ({step.detail})" if step.detail else ""
        parts.append(f"{step.step.label}: {words}{detail}")
    return "; ".join(parts) or "every step had its turn"
