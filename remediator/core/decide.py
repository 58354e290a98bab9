"""From an assessment to a plan: which step is next, and every act and hold in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from remediator.core.assess import critical_evidence
from remediator.core.budgets import usages
from remediator.core.guards import gate, spare_session
from remediator.core.incident import relapse
from remediator.core.ledger import Phase
from remediator.core.model import (
    Evidence,
    Session,
)
from remediator.core.onpaper import discount, unseen
from remediator.core.plan import (
    Act,
    Hold,
    Objection,
    Plan,
    Proposal,
    StepPlan,
    TerminateSession,
)
from remediator.core.policy import RestartService, Step, TerminateIdle, When
from remediator.core.restarting import plan_restart
from remediator.core.situation import Situation
from remediator.core.target import in_turn
from remediator.core.text import count, duration, percent
from remediator.core.trouble import Trouble
from remediator.core.waits import wait_for_turn

__all__ = ["Situation", "decide"]

# What a restart has to wait for, and terminations have not.
_RESTART_WAITS = frozenset({Objection.IN_FLIGHT, Objection.JUST_STARTED, Objection.UNREADABLE})


def decide(situation: Situation) -> Plan:
    """Plan the rest of the incident's current round.

    Every step from the incident's own on is planned. Only the first one with something to do is
    meant to be carried out now; the later ones say what would follow if it does not help. When an
    incident that was relieved is critical again, the ladder goes on with the next step that has
    something to do; when there is none, a new round is planned.
    """
    situation, gone = discount(situation)
    relieved = situation.incident.phase is Phase.RELIEVED
    evidence = Evidence.BREACH
    if not situation.assume_critical:
        evidence = critical_evidence(situation.policy, situation.sample, relieved=relieved)
    relapsed = relieved and evidence is Evidence.BREACH
    renews = False
    if relapsed:
        goes_on = replace(situation, incident=relapse(situation.incident, new_round=False))
        renews = not any(step.acts for step in _steps(goes_on, evidence, gone))
        situation = replace(situation, incident=relapse(situation.incident, new_round=renews))
    objections, details = gate(
        situation.database,
        situation.sample,
        evidence,
        situation.incident,
        situation.ledger,
        situation.maintenance,
        situation.now,
    )
    detail = "; ".join(filter(None, details))
    steps = tuple(_steps(situation, evidence, gone))
    if not objections:
        objections, detail = _cut_off(situation) or wait_for_turn(steps) or ((), "")
        details = ()
        if _RESTART_WAITS.intersection(objections) and (
            again := _terminations_again(situation, evidence, gone)
        ):
            steps, objections, detail, renews = again, (), "", True
    plan = Plan(
        steps=steps,
        objections=objections,
        detail=detail,
        details=details,
        relapsed=relapsed,
        renews=renews,
    )
    if objections or plan.next_step is not None:
        return plan
    if evidence is Evidence.CLEAR:
        return replace(plan, relieved=True)
    return replace(plan, exhausted=True, detail=unseen(situation.ledger, situation.incident))


def _cut_off(situation: Situation) -> tuple[tuple[Objection, ...], str] | None:
    """Wait when the server could be read a moment ago and its sessions cannot: it may be another by now."""
    sessions = situation.survey.sessions
    if situation.sample.slots is None or not isinstance(sessions, Trouble):
        return None
    return (Objection.UNREADABLE,), sessions.detail


def _terminations_again(
    situation: Situation, evidence: Evidence, gone: frozenset[int]
) -> tuple[StepPlan, ...]:
    """Begin a new round that terminates, instead of waiting idly; but not within a rolling restart."""
    incident = situation.incident
    if any(entry.intent.step == incident.step for entry in situation.ledger.of_round(incident)):
        return ()
    steps = tuple(_steps(replace(situation, incident=relapse(incident, new_round=True)), evidence, gone))
    first = next((step for step in steps if step.acts), None)
    terminates = first is not None and isinstance(first.step, TerminateIdle)
    return steps if terminates and wait_for_turn(steps) is None else ()


def _steps(situation: Situation, evidence: Evidence, gone: frozenset[int]) -> list[StepPlan]:
    planned: list[StepPlan] = []
    acting = False
    for index, step in enumerate(situation.policy.remediate.steps):
        if index < situation.incident.step:
            continue
        plan = _step(situation, index, step, evidence, gone)
        if plan.acts:
            plan = replace(plan, conditional=acting and step.when is When.STILL_CRITICAL)
            acting = True
        planned.append(plan if evidence is not Evidence.UNKNOWN else _withheld(plan))
    return planned


def _step(situation: Situation, index: int, step: Step, evidence: Evidence, gone: frozenset[int]) -> StepPlan:
    if step.when is When.STILL_CRITICAL and evidence is Evidence.CLEAR:
        return StepPlan(index, step, objections=(Objection.NOT_NEEDED,))
    match step:
        case TerminateIdle():
            return _terminate(situation, index, step, gone)
        case RestartService():
            return plan_restart(situation, index, step)


def _terminate(situation: Situation, index: int, step: TerminateIdle, gone: frozenset[int]) -> StepPlan:
    sessions = situation.survey.sessions
    if isinstance(sessions, Trouble):
        return StepPlan(index, step, objections=(Objection.UNREADABLE,), detail=sessions.detail)
    spared, eligible = _sort_out(situation, step, sessions, gone)
    eligible, needed = in_turn(situation.policy, situation.sample, eligible)
    excess = _suspicion(situation, eligible, needed)
    if excess:
        too_many = (Objection.BLAST_RADIUS,)
        kept = (Hold(TerminateSession(session), too_many) for session in eligible)
        return StepPlan(index, step, proposals=(*kept, *spared), objections=too_many, detail=excess)
    proposals = [*_choose(situation, index, step, eligible, needed), *spared]
    server = situation.sample.server
    if server is not None and not server.can_signal:
        held = tuple(_refuse(proposal, Objection.MAY_NOT_SIGNAL) for proposal in proposals)
        return StepPlan(index, step, proposals=held, objections=(Objection.MAY_NOT_SIGNAL,))
    plan = StepPlan(index, step, proposals=tuple(proposals))
    if not eligible:
        detail = f"{count(len(proposals), 'session')} spared"
        return replace(plan, objections=(Objection.NO_CANDIDATES,), detail=detail)
    return plan


def _suspicion(situation: Situation, eligible: Sequence[Session], needed: int) -> str:
    """Say in words by how much a step exceeds what any leak should ask for; empty when it does not."""
    limits, slots = situation.policy.limits, situation.sample.slots
    used = slots.used if slots else len(eligible)
    wanted = min(len(eligible), needed)
    if not limits.suspicious(wanted, used):
        return ""
    cap = " or ".join(percent(c) if isinstance(c, float) else str(c) for c in limits.terminate_abort_above)
    return f"{wanted} of {used} would have to go, more than {cap}"


def _refuse(proposal: Proposal, objection: Objection) -> Proposal:
    return Hold(proposal.action, (objection,), proposal.because) if isinstance(proposal, Act) else proposal


def _withheld(step: StepPlan) -> StepPlan:
    """The step when it is not known whether anything is wrong: nothing of it would be done."""
    unknown = (Objection.UNKNOWN_EVIDENCE,)
    held = (Hold(p.action, unknown) if isinstance(p, Act) else p for p in step.proposals)
    return replace(step, proposals=tuple(held), conditional=False)


def _sort_out(
    situation: Situation, step: TerminateIdle, sessions: Sequence[Session], gone: frozenset[int]
) -> tuple[list[Proposal], list[Session]]:
    """Split sessions into those spared, each with its reasons, and those that may go, oldest first."""
    held: list[Proposal] = []
    eligible: list[Session] = []
    for session in sorted(sessions, key=lambda s: (-s.idle_for, s.id.pid)):
        if session.id.pid in gone:
            objections: tuple[Objection, ...] = (Objection.SIMULATED,)
        else:
            objections = spare_session(session, situation.policy.spare, step.older_than)
        if objections:
            held.append(Hold(TerminateSession(session), objections))
        else:
            eligible.append(session)
    return held, eligible


def _choose(
    situation: Situation, index: int, step: TerminateIdle, eligible: Sequence[Session], needed: int
) -> list[Proposal]:
    """Take the first, as many as the target needs and the limits allow; hold the rest.

    Where a step is taken up again because sessions changed, what it has done in this round counts.
    """
    limits, slots = situation.policy.limits, situation.sample.slots
    used = slots.used if slots else len(eligible)
    until = situation.policy.remediate.until
    cap = limits.terminate_cap(used)
    done = sum(
        1 for e in situation.ledger.of_round(situation.incident) if e.intent.step == index and e.charged
    )
    spent = situation.ledger.terminations(situation.database)
    scarcest = min(usages(limits.terminate, spent, situation.now), key=lambda budget: budget.left)
    left, spent_text = scarcest.left, scarcest.describe(situation.now)
    enough, per_step = f"target {percent(until)}", f"limit {cap} of {used} per step"
    chosen: list[Proposal] = []
    for rank, session in enumerate(eligible):
        action = TerminateSession(session)
        if rank >= needed:
            chosen.append(Hold(action, (Objection.ENOUGH,), enough))
        elif rank >= left:
            chosen.append(Hold(action, (Objection.RATE_LIMIT,), spent_text))
        elif rank >= cap - done:
            chosen.append(Hold(action, (Objection.STEP_LIMIT,), per_step))
        else:
            idle = f"idle for {duration(session.idle_for)}, longer than {duration(step.older_than)}"
            chosen.append(Act(action, idle))
    return chosen
