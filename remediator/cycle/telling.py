"""Putting a cycle's values into events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.assess import Assessment
from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Outcome
from remediator.core.maintenance import Window
from remediator.core.model import Level, Mode, Moment, Sample
from remediator.core.plan import Plan, StepPlan
from remediator.core.server import Holder, Server
from remediator.cycle.fields import (
    action_fields,
    hold_reasons,
    holder_fields,
    motion,
    owners,
    states,
    step_fields,
    unknown_because,
)
from remediator.ports import Observer

# How often it is said again that a person is needed.
REMIND_EVERY = timedelta(minutes=30)


@dataclass(slots=True)
class _Lasting:
    """Something that lasts, on the monotonic clock.

    Attributes:
        what: What it is; something else begins anew.
        since: When it began.
        said: When it was said last.
    """

    what: object
    since: float
    said: float

    def again(self, mono: float) -> bool:
        """Whether it is time to say it again; then it counts as said."""
        due = mono - self.said >= REMIND_EVERY.total_seconds()
        self.said = mono if due else self.said
        return due


@dataclass(slots=True)
class Teller:
    """Tells the observer what one database's cycle does, once for each change."""

    observer: Observer
    database: str
    mode: Mode
    _unknown: float | None = None
    _overdue: float | None = None
    _window: Window | None = None
    _hold: _Lasting | None = None
    _holding: bool = False
    _held_by: str = ""
    _may_signal: bool = True
    _rival: Holder | None = None
    _pending: Level | None = None
    _untold: float | None = None
    _plan: object = None
    _told: float | None = None

    def emit(self, event: Event, incident: Incident | None = None, **fields: object) -> None:
        """Emit an event with what every event of a database carries."""
        if event is Event.INCIDENT_RELIEVED:
            self._plan = None  # after good news even the same bad news is news
        if incident is not None:
            fields["incident"] = incident.id
        self.observer.emit(event, database=self.database, mode=self.mode.value, **fields)

    def assessment(self, assessment: Assessment, patience: timedelta) -> None:
        """Tell changes of the level, of what is known, and of what we may do.

        Args:
            assessment: The newest.
            patience: How long evidence may be unknown before that is said again, louder.
        """
        level, previous = assessment.level, assessment.previous
        if assessment.sample.server is not None:
            self._rights(assessment.sample.server)
        if assessment.sample.clock_set:
            self.emit(Event.SERVER_CLOCK_JUMPED, seconds=round(assessment.sample.clock_set, 1))
        self._evidence(assessment, patience)
        if assessment.sample.slots is not None:
            self._directory(assessment.sample)
        if level is not previous:
            because = assessment.because(level) or "conditions cleared"
            self.emit(Event.LEVEL_CHANGED, level=level.label, previous=previous.label, because=because)
        if assessment.pending is not None and assessment.pending is not self._pending:
            because = assessment.because(assessment.pending)
            self.emit(Event.LEVEL_PENDING, level=assessment.pending.label, because=because)
        self._pending = assessment.pending

    def _rights(self, server: Server) -> None:
        if self._may_signal and not server.can_signal:
            self.emit(Event.MAY_NOT_SIGNAL, because="our role lacks pg_signal_backend; `doctor` says more")
        self._may_signal = server.can_signal
        before, self._rival = self._rival, (server.holder or Holder(0)) if server.rival else None
        if self._rival is not None and self._rival != before:
            self.emit(Event.STANDING_BY, None, **holder_fields(server.holder))
        elif before is not None and self._rival is None:
            self.emit(Event.TAKING_OVER)

    def _directory(self, sample: Sample) -> None:
        mono = sample.moment.mono
        if sample.untold and self._untold is None:
            self._untold = mono
            self.emit(Event.DIRECTORY_LOST, because=sample.untold)
        elif not sample.untold and self._untold is not None:
            self.emit(Event.DIRECTORY_REGAINED, seconds=round(mono - self._untold, 3))
            self._untold = None

    def _evidence(self, assessment: Assessment, patience: timedelta) -> None:
        mono, level = assessment.sample.moment.mono, assessment.level.label
        if not assessment.unknown:
            if self._unknown is not None:
                self.emit(Event.EVIDENCE_REGAINED, level=level, seconds=round(mono - self._unknown, 3))
            self._unknown, self._overdue = None, None
            return
        if self._unknown is None:
            self._unknown = mono
            self.emit(Event.EVIDENCE_LOST, level=level, because=unknown_because(assessment))
        lasted = mono - self._unknown
        said = mono - self._overdue if self._overdue is not None else float("inf")
        if lasted >= patience.total_seconds() and said >= REMIND_EVERY.total_seconds():
            self._overdue = mono
            because = unknown_because(assessment)
            self.emit(Event.EVIDENCE_OVERDUE, level=level, because=because, seconds=round(lasted, 3))

    def opened(self, incident: Incident, assessment: Assessment) -> None:
        """Tell that an incident was opened, and what kind of trouble it is."""
        diagnosis = assessment.diagnosis
        self.emit(
            Event.INCIDENT_OPENED,
            incident,
            because=incident.because,
            used=incident.used,
            usable=incident.usable,
            diagnosis=diagnosis.kind.value if diagnosis else None,
            evidence=diagnosis.evidence if diagnosis else None,
        )

    def maintenance(self, window: Window | None) -> None:
        """Tell when a maintenance window begins and ends."""
        if window is not None and self._window is None:
            self.emit(Event.MAINTENANCE_BEGUN, until=window.until.isoformat(), because=window.reason or None)
        elif window is None and self._window is not None:
            self.emit(Event.MAINTENANCE_OVER)
        self._window = window

    def cycle(self, assessment: Assessment, incident: Incident | None, seconds: float) -> None:
        """Tell the canonical line of a cycle."""
        if not self._holding:
            self._hold, self._held_by = None, ""
        self._holding = False
        sample = assessment.sample
        fields: dict[str, object] = {"level": assessment.level.label, "unknown": assessment.unknown}
        if sample.slots is not None:
            slots = sample.slots
            fields |= {"used": slots.used, "usable": slots.usable, "utilization": round(slots.utilization, 4)}
            fields["states"] = states(assessment)
            fields["owners"] = owners(assessment)
            fields |= motion(assessment, self._told)
            self._told = sample.moment.mono
        if sample.probe is not None:
            fields["probe"] = sample.probe.result.value
            fields["probe_seconds"] = round(sample.probe.seconds, 4)
        if sample.trouble is not None:
            fields["trouble"] = sample.trouble.kind.value
        if self._held_by:
            fields["hold"] = self._held_by
        self.emit(Event.CYCLE, incident, **fields, seconds=round(seconds, 4))

    def plan(self, incident: Incident, plan: Plan, moment: Moment) -> None:
        """Tell a plan, unless it says the same as the last one told; from time to time tell a hold again."""
        self._holding = plan.next_step is None and not plan.relieved
        self._held_by = ("suspended" if plan.ordered else "held") if plan.held else ""
        signature = (incident.id, incident.round, plan.objections, tuple(_signature(s) for s in plan.steps))
        changed = signature != self._plan
        self._plan = signature
        if changed:
            self._made(incident, plan)
        if self._holding:
            self._held(incident, plan, moment.mono, changed=changed)

    def _held(self, incident: Incident, plan: Plan, mono: float, *, changed: bool) -> None:
        """Tell a hold: at once one that waiting will not end, after a while any."""
        what = (incident.id, plan.ordered)
        if self._hold is None or self._hold.what != what:
            self._hold = _Lasting(what, mono, mono)
            changed = True
        if not self._hold.again(mono) and not (plan.held and changed):
            return
        self._hold.said = mono
        seconds = round(mono - self._hold.since, 3)
        because = hold_reasons(plan)
        if plan.ordered:
            self.emit(
                Event.INCIDENT_SUSPENDED, incident, because=because, round=incident.round, seconds=seconds
            )
        else:
            self.emit(Event.INCIDENT_HELD, incident, because=because, round=incident.round, seconds=seconds)

    def _made(self, incident: Incident, plan: Plan) -> None:
        self.emit(
            Event.PLAN_MADE,
            incident,
            round=incident.round,
            steps=[step_fields(step) for step in plan.steps],
            objections=[o.value for o in plan.objections],
            detail=plan.detail,
        )

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


def _signature(step: StepPlan) -> object:
    held = frozenset(o for h in step.holds for o in h.objections)
    return step.index, bool(step.acts), step.objections, held, step.conditional


def _seconds(begin: datetime, end: datetime) -> float:
    return round((end - begin).total_seconds(), 3)
