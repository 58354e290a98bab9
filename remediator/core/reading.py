"""What one cycle saw and what it made of it, as it is kept: enough to judge and to decide anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby

from remediator.core.assess import Assessment
from remediator.core.finding import Finding
from remediator.core.ledger import Incident
from remediator.core.maintenance import Window
from remediator.core.model import Level, Mode, Sample
from remediator.core.plan import Act, Action, Hold, Plan, Proposal, StepPlan, Survey, TerminateSession
from remediator.core.policy import Policy
from remediator.core.trend import NO_TREND
from remediator.core.turn import Orders, Turn

_FINGERPRINT = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided on several targets alike.

    Attributes:
        targets: Sessions by pid, as the survey has them, or replicas by name.
        because: Why to act, or for a hold what the objections leave out.
        objections: Why not, by their stable words; empty when it was to act.
    """

    targets: tuple[int | str, ...]
    because: str = ""
    objections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a plan.

    Attributes:
        index: Position in the policy's steps, from 0.
        label: The step in words.
    """

    index: int
    label: str
    verdicts: tuple[Verdict, ...] = ()
    objections: tuple[str, ...] = ()
    detail: str = ""
    conditional: bool = False

    @property
    def acts(self) -> tuple[int | str, ...]:
        """The targets to act on."""
        return tuple(t for v in self.verdicts if not v.objections for t in v.targets)


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, with targets by name: who they are stands in the survey.

    Attributes:
        held: Nothing may or can be done although it is needed, and waiting alone will not help.
    """

    rungs: tuple[Rung, ...] = ()
    objections: tuple[str, ...] = ()
    detail: str = ""
    relapsed: bool = False
    renews: bool = False
    relieved: bool = False
    exhausted: bool = False
    held: bool = False

    @property
    def next_rung(self) -> Rung | None:
        """The first step with something to do, unless everything is stopped."""
        return None if self.objections else next((rung for rung in self.rungs if rung.acts), None)


@dataclass(frozen=True, slots=True)
class Reading:
    """One completed cycle of one database.

    Attributes:
        policy: The name of the policy by which it was judged.
        fingerprint: Tells one policy from another of the same name.
        cutoffs: The idle ages by which the sample counts.
        run: Which life of the daemon it was.
        renewed: The sample that was decided on, when the first one had grown old.
        unknown: The level might be another one: evidence is missing.
        orders: The pause and the locks in force; None where nobody had to ask.
        survey: What the plan rests on beyond the sample.
    """

    database: str
    mode: Mode
    policy: str
    fingerprint: str
    cutoffs: tuple[timedelta, ...]
    run: str
    sample: Sample
    level: Level
    previous: Level
    pending: Level | None = None
    unknown: bool = False
    findings: tuple[Finding, ...] = ()
    incident: Incident | None = None
    in_flight: int = 0
    maintenance: Window | None = None
    renewed: Sample | None = None
    orders: Orders | None = None
    survey: Survey | None = None
    plan: Decision | None = None

    @property
    def at(self) -> datetime:
        """When it was, on the wall clock."""
        return self.sample.moment.at


def fingerprint(policy: Policy) -> str:
    """Tell a policy from any other; the same text for the same policy, as this version understands it."""
    return sha256(repr(policy).encode()).hexdigest()[:_FINGERPRINT]


def reading_of(database: str, policy: Policy, mark: str, turn: Turn, mode: Mode, run: str) -> Reading:
    """Make the reading of a completed cycle.

    Args:
        database: The database's name.
        policy: By which it was judged.
        mark: The policy's fingerprint.
        turn: What the cycle came to.
        mode: Whether it acts.
        run: Which life of the daemon it is.
    """
    assessment: Assessment = turn.assessment
    return Reading(
        database=database,
        mode=mode,
        policy=policy.name,
        fingerprint=mark,
        cutoffs=policy.cutoffs,
        run=run,
        sample=_alone(assessment.sample),
        level=assessment.level,
        previous=assessment.previous,
        pending=assessment.pending,
        unknown=assessment.unknown,
        findings=assessment.findings,
        incident=turn.incident,
        in_flight=turn.in_flight,
        maintenance=turn.maintenance,
        renewed=_alone(turn.renewed.sample) if turn.renewed is not None else None,
        orders=turn.orders,
        survey=turn.survey,
        plan=decision_of(turn.plan) if turn.plan is not None else None,
    )


def _alone(sample: Sample) -> Sample:
    """The sample without those before it, which are in readings of their own."""
    return replace(sample, trend=NO_TREND)


def decision_of(plan: Plan) -> Decision:
    """Write a plan down with its targets by name."""
    return Decision(
        rungs=tuple(_rung(step) for step in plan.steps),
        objections=tuple(o.value for o in plan.objections),
        detail=plan.detail,
        relapsed=plan.relapsed,
        renews=plan.renews,
        relieved=plan.relieved,
        exhausted=plan.exhausted,
        held=plan.held,
    )


def _rung(step: StepPlan) -> Rung:
    return Rung(
        index=step.index,
        label=step.step.label,
        verdicts=tuple(_verdicts(step.proposals)),
        objections=tuple(o.value for o in step.objections),
        detail=step.detail,
        conditional=step.conditional,
    )


def _verdicts(proposals: Iterable[Proposal]) -> Iterable[Verdict]:
    for (because, objections), alike in groupby(proposals, key=_judgement):
        yield Verdict(tuple(target(p.action) for p in alike), because, objections)


def _judgement(proposal: Proposal) -> tuple[str, tuple[str, ...]]:
    match proposal:
        case Act(because=because):
            return because, ()
        case Hold(objections=objections, detail=detail):
            return detail, tuple(o.value for o in objections)


def target(action: Action) -> int | str:
    """What an action is about, in short: a session's pid, a replica's name."""
    return action.session.id.pid if isinstance(action, TerminateSession) else action.replica.name
