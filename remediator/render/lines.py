"""Values as lines of text, for a person or a monitoring system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.course import course
from remediator.core.diagnosis import Kind
from remediator.core.ledger import Entry, Incident
from remediator.core.maintenance import Window
from remediator.core.model import Level, Mode, Sample, Session
from remediator.core.plan import Action, Hold, Plan, RestartReplica, StepPlan, TerminateSession
from remediator.core.text import count, duration, durations
from remediator.render.look import Look
from remediator.render.standing import budget_lines, in_force_lines, order_lines
from remediator.render.verdicts import reasons, shown_level, shown_unknown, verdict


def assessment_lines(name: str, look: Look, mode: Mode | None = None) -> Iterator[str]:
    """One database's assessment for a person.

    Args:
        name: The database.
        look: What was found.
        mode: Whether a daemon by this config acts; None where nobody asks for that.
    """
    assessment, holder, recorded = look.assessment, look.holder, look.recorded
    yield f"{name}: {verdict(assessment)}{_in_mode(mode)}"
    if look.maintenance is not None:
        yield f"  {_maintenance(look.maintenance)}"
    if look.standing is not None:
        yield from (f"  {line}" for line in order_lines(look.standing, look.standing.own))
    if look.unread:
        yield f"  whether anything is paused or locked is not known: {look.unread}"
    for reason in reasons(assessment):
        yield f"  {reason}"
    if holder is not None:
        yield f"  {holder.text} has the right to act"
    yield from _sample_lines(assessment)
    if recorded is not None:
        age = assessment.sample.moment.at - recorded.sample.moment.at
        yield f"  the daemon, which was connected before, read {duration(age)} ago:"
        yield from (f"    {reason}" for reason in reasons(recorded))
        yield from (f"  {line}" for line in _sample_lines(recorded))


def _in_mode(mode: Mode | None) -> str:
    if mode is None:
        return ""
    return " (dry run)" if mode is Mode.DRY_RUN else " (enforcing)"


def _sample_lines(assessment: Assessment) -> Iterator[str]:
    sample = assessment.sample
    if sample.slots is not None:
        slots = sample.slots
        kept = slots.superuser_reserved + slots.reserved
        total = f"{slots.max_connections} less {kept} reserved"
        yield f"  {slots.free} free of {slots.usable} usable slots ({total})"
    yield from _motion_lines(assessment)
    if sample.untold:
        yield f"  sessions are told by the config's patterns only: {sample.untold}"
    yield from _session_lines(sample)


def _motion_lines(assessment: Assessment) -> Iterator[str]:
    diagnosis = assessment.diagnosis
    if diagnosis is not None:
        yield f"  looks like {_LOOKS[diagnosis.kind]}: {diagnosis.text}"
        yield from (f"    {sign}" for sign in diagnosis.signs)
    growth = assessment.sample.trend.growth()
    if growth is not None and growth.steady and not any(str(growth) in why for why in reasons(assessment)):
        yield f"  {growth.prospect}"


_LOOKS = {
    Kind.LEAK: "a leak",
    Kind.PEAK: "a load peak",
    Kind.UNCLEAR: "neither leak nor peak",
}


def _session_lines(sample: Sample) -> Iterator[str]:
    """Who holds the slots, and how: a table, most first."""
    counted: Counter[tuple[str, str, str]] = Counter()
    told = any(g.owner.known for g in sample.groups)
    for g in sample.groups:
        owner = g.owner.label if told else ""
        counted[owner, g.application or g.user or "unnamed", g.state or "unknown"] += g.count
    if not counted:
        return
    head = ("whose" if told else "", "client", "state")
    rows = [("sessions", head), *((f"{n:>8}", key) for key, n in counted.most_common())]
    widths = [max(len(key[column]) for _, key in rows) for column in (0, 1)]
    for sessions, (owner, name, state) in rows:
        whose = f"{owner:<{widths[0]}}  " if told else ""
        yield f"  {sessions}  {whose}{name:<{widths[1]}}  {state}"


def plan_lines(
    name: str,
    assessment: Assessment,
    plan: Plan,
    standing: Standing | None = None,
    *,
    every: bool,
    incident: Incident | None = None,
    elsewhere: str = "",
    mode: Mode | None = None,
) -> Iterator[str]:
    """One database's plan for a person.

    Args:
        name: The database.
        assessment: The sample it rests on, judged.
        plan: The plan.
        standing: What is in force, and what is left of each limit.
        every: List every single session, not only how many of which application, and why.
        incident: The one that is open.
        elsewhere: Where a plan is that rests on more than this one.
        mode: As for `assessment_lines`.
    """
    why = "if critical were confirmed now:"
    if incident is not None:
        why = f"incident {incident.id} is open since {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC, next in it:"
    yield f"{name}: {verdict(assessment)}{_in_mode(mode)}; {why}"
    said = ""
    if shown_unknown(assessment) or shown_level(assessment) is Level.CRITICAL:
        said = reasons(assessment)[0]
        yield f"  {said}"
    if elsewhere:
        yield f"  {elsewhere}"
    yield from plan_body(plan, said, every=every)
    if standing is not None:
        yield from _standing_lines(standing)


def _standing_lines(standing: Standing) -> Iterator[str]:
    orders = tuple(in_force_lines(standing))
    if not orders and not any(budget.used for budget in standing.budgets):
        yield "  in force now: nothing, and no limit is used; `history` lists them"
        return
    yield "  in force now:"
    yield from (f"    {line}" for line in (*orders, *budget_lines(standing)))


def plan_body(plan: Plan, said: str = "", *, every: bool) -> Iterator[str]:
    """What a plan says, each reason once.

    Args:
        plan: The plan.
        said: Why the database is judged as it is, where that is said already.
        every: List every single session.
    """
    for objection, detail in plan.reasons:
        yield f"  nothing would be done: {objection.meaning}"
        if detail and detail not in said:
            yield f"    {detail}"
    if plan.detail and not plan.objections:
        yield f"  {plan.detail}"
    said = f"{said} {plan.detail}"
    for step in plan.steps:
        condition = " (only if critical still)" if step.conditional else ""
        yield f"  step {step.index + 1}: {step.step.label}{condition}"
        yield from (f"    {line}" for line in _step_lines(step, said, every=every))


def _step_lines(step: StepPlan, said: str, *, every: bool) -> Iterator[str]:
    detail = f" ({step.detail})" if step.detail not in said else ""
    if step.objections:
        yield f"no: {', '.join(objection.meaning for objection in step.objections)}{detail}"
    yield from _act_lines(step, every=every)
    sessions = [h for h in step.holds if isinstance(h.action, TerminateSession)]
    others = [h for h in step.holds if not isinstance(h.action, TerminateSession)]
    for hold in others if not every else step.holds:
        same = hold.objections == step.objections and hold.detail in ("", step.detail)
        yield f"hold  {_describe(hold.action)}" + ("" if same else f": {_why(hold)}")
    if not every and sessions:
        summary = Counter(_why(hold) for hold in sessions)
        for why, number in summary.most_common():
            yield f"spare {count(number, 'session')}: {why}"


def _act_lines(step: StepPlan, *, every: bool) -> Iterator[str]:
    groups: dict[str, list[float]] = {}
    for act in step.acts:
        if isinstance(act.action, TerminateSession) and not every:
            session = act.action.session
            groups.setdefault(_whose(session), []).append(session.idle_for)
        else:
            yield f"act   {_describe(act.action)}: {act.because}"
    for whose, ages in groups.items():
        idle = f"idle for {durations(ages)}"
        yield f"act   terminate {count(len(ages), 'session')} of {whose}, {idle}"


def _whose(session: Session) -> str:
    who, user = session.application or "unnamed", f"user {session.user}"
    return f"{session.owner.label} ({who}, {user})" if session.owner.known else f"{who}, {user}"


def _describe(action: Action) -> str:
    match action:
        case TerminateSession(session):
            where = session.address or "local"
            whose = f" of {session.owner.label}" if session.owner.known else ""
            return f"{action.label}{whose}, user {session.user}, from {where}"
        case RestartReplica(replica):
            return f"{action.label}, stop timeout {duration(replica.stop_timeout)}"


def _why(hold: Hold) -> str:
    words = ", ".join(objection.meaning for objection in hold.objections)
    return f"{words} ({hold.detail})" if hold.detail else words


def history_lines(
    incident: Incident, entries: Sequence[Entry], mode: Mode, now: datetime, held: str = "", left: str = ""
) -> Iterator[str]:
    """One incident with its actions for a person.

    Args:
        incident: The incident.
        entries: What was done in it, oldest first.
        mode: Whose ledger it is in.
        now: The time.
        held: What keeps anything from being done for its database now.
        left: That nobody goes on with it, as `left_open` tells it; empty when the daemon does.
    """
    how = _so_far(incident, now, left)
    stands = course(incident, entries, mode, held)
    if stands and not (left and incident.relieved_at is None):
        how += f", {stands}"
    yield f"{incident.opened_at:%Y-%m-%d %H:%M:%S} UTC  {mode}  {how}"
    yield f"  {incident.id}: {incident.because}"
    done = Counter(_tally(entry) for entry in entries)
    for tally, number in done.items():
        yield f"  {number:>5}  {tally}"


def left_open(mode: Mode) -> str:
    """What becomes of an open incident while the daemon works in another mode, which is this one."""
    return f"left open: the mode is {mode} now"


def _so_far(incident: Incident, now: datetime, left: str) -> str:
    """Whether it is over, and how long it took or takes."""
    if incident.closed_at is not None:
        return f"closed after {duration(incident.closed_at - incident.opened_at)}"
    if left:
        return left
    return f"open for {duration(now - incident.opened_at)}"


def _tally(entry: Entry) -> str:
    result = entry.outcome.result.value if entry.outcome else "open"
    match entry.intent.action:
        case TerminateSession(session):
            return f"terminate {session.application or session.user}: {result}"
        case RestartReplica(replica):
            detail = f" ({entry.outcome.detail})" if entry.outcome and entry.outcome.detail else ""
            return f"{entry.intent.at:%H:%M:%S} restart {replica.name}: {result}{detail}"


def _maintenance(window: Window) -> str:
    return f"in a maintenance window {window.text}"
