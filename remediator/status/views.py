"""One database as the page shows it: its state, whose sessions, what would be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.diagnosis import Kind
from remediator.core.model import Evidence, Level, Sample
from remediator.core.plan import Plan, RestartReplica, StepPlan, TerminateSession
from remediator.core.policy import Policy
from remediator.core.text import count, duration
from remediator.core.turn import Turn
from remediator.render import reasons
from remediator.status import words
from remediator.status.chart import Band, Chart, bands
from remediator.status.doing import Doing

_OWNERS = 24
_KINDS = {
    Kind.LEAK: "a leak",
    Kind.PEAK: "a load peak",
    Kind.UNCLEAR: "neither clearly a leak nor a load peak",
}


@dataclass(frozen=True, slots=True)
class Whose:
    """The sessions of one owner.

    Attributes:
        states: How many in each state, most first.
        share: Of the usable slots.
    """

    name: str
    total: int
    share: float
    states: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of what would be done.

    Attributes:
        acts: What would be done, in words.
        holds: What would not be done, and why.
    """

    number: int
    label: str
    conditional: bool
    acts: Sequence[str]
    holds: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the policy would do.

    Attributes:
        at: When that was looked at.
        assumed: It is what would happen were critical confirmed now, which it is not.
        stopped: What stops everything.
    """

    at: datetime
    assumed: bool
    stopped: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a limit."""

    limits: str
    rule: str
    left: int
    allowed: int
    when: str


@dataclass(frozen=True, slots=True)
class View:
    """One database.

    Attributes:
        level: The level, or `unknown`.
        pending: What it is about to become, in words.
        because: Why it is so.
        untold: Why the addresses of containers do not tell whose the sessions are.
    """

    name: str
    level: str
    pending: str
    because: Sequence[str]
    used: int | None
    usable: int | None
    share: float | None
    free: int | None
    kept: int
    bands: Sequence[Band]
    doing: Doing
    owners: Sequence[Whose]
    untold: str
    states: Sequence[tuple[str, int]]
    probe: str
    checked: str
    checked_at: datetime
    every: str
    chart: Chart
    ahead: Ahead | None
    budgets: Sequence[Left]


def view(
    name: str,
    policy: Policy,
    turn: Turn,
    picture: Chart,
    ahead: Ahead | None,
    left: Sequence[Left],
    doing: Doing,
    now: datetime,
) -> View:
    """Put together what is shown of a database."""
    assessment = turn.assessment
    sample, slots = assessment.sample, assessment.sample.slots
    return View(
        name=name,
        level="unknown" if assessment.unknown else assessment.level.label,
        pending=_pending(assessment, policy),
        because=[*(said := reasons(assessment)), *_motion(assessment, said)],
        used=slots.used if slots else None,
        usable=slots.usable if slots else None,
        share=slots.utilization if slots else None,
        free=slots.free if slots else None,
        kept=slots.superuser_reserved + slots.reserved if slots else 0,
        bands=bands(policy),
        doing=doing,
        owners=owners(sample),
        untold=sample.untold,
        states=_states(sample),
        probe=_probe(sample),
        checked=words.ago(sample.moment.at, now),
        checked_at=sample.moment.at,
        every=duration(policy.check_every[max(assessment.level, assessment.pending or Level.NORMAL)]),
        chart=picture,
        ahead=ahead,
        budgets=left,
    )


def _motion(assessment: Assessment, said: Sequence[str]) -> Iterator[str]:
    """What kind of trouble it is, and where it is going, as far as that can be told and was not said."""
    sample = assessment.sample
    level = max(assessment.level, assessment.pending or Level.NORMAL)
    found = assessment.diagnosis
    if found is not None and assessment.evidence.get(level) is Evidence.BREACH:
        yield from (f"{_KINDS[found.kind]}: {found.text}", *found.signs)
    growth = sample.trend.growth()
    full = sample.slots is not None and not sample.slots.free
    told = any(str(growth) in why for why in said)
    if growth is not None and growth.exhausted_in is not None and not full and not told:
        yield growth.prospect


def _pending(assessment: Assessment, policy: Policy) -> str:
    """What the level is about to become."""
    if assessment.pending is not None:
        return f"{assessment.pending.label} is seen, not for long enough yet"
    if assessment.evidence.get(assessment.level) is Evidence.CLEAR:
        return f"clear now; left once that has lasted for {duration(policy.clear.hold_for)}"
    return ""


def owners(sample: Sample) -> list[Whose]:
    """Whose sessions there are, most first; by application where owners are not known."""
    told = any(group.owner.known for group in sample.groups)
    found: dict[str, Counter[str]] = {}
    for group in sample.groups:
        name = group.owner.label if told else group.application or group.user or "unnamed"
        found.setdefault(name, Counter())[group.state or "unknown"] += group.count
    usable = sample.slots.usable if sample.slots else 1
    rows = [Whose(name, c.total(), c.total() / usable, c.most_common()) for name, c in found.items()]
    rows = sorted(rows, key=lambda row: (-row.total, row.name))
    others = rows[_OWNERS:]
    if others:  # whoever makes up names could fill the page
        total = sum(row.total for row in others)
        rows[_OWNERS:] = [Whose(f"{len(others)} others", total, total / usable, [("in all", total)])]
    return rows


def _states(sample: Sample) -> list[tuple[str, int]]:
    counted: Counter[str] = Counter()
    for group in sample.groups:
        counted[group.state or "unknown"] += group.count
    return counted.most_common()


def _probe(sample: Sample) -> str:
    if sample.probe is None:
        return "not tried"
    took = f"in {duration(sample.probe.seconds)}" if sample.probe.seconds >= 0.1 else "at once"  # noqa: PLR2004
    said = {"accepted": f"accepted {took}", "refusing": "refused", "unavailable": "no verdict"}
    detail = f": {sample.probe.detail}" if sample.probe.result != "accepted" else ""
    return said[sample.probe.result.value] + detail


def ahead(plan: Plan, at: datetime, *, assumed: bool) -> Ahead:
    """A plan in words."""
    stopped = plan.because
    if plan.relieved and not any(step.acts for step in plan.steps):
        stopped = "no longer critical, and nothing is left to do"
    return Ahead(at, assumed, stopped, tuple(_step(step, plan.detail) for step in plan.steps))


def _step(step: StepPlan, said: str) -> Step:
    sessions = [a.action.session for a in step.acts if isinstance(a.action, TerminateSession)]
    acts = []
    if sessions:
        number = words.sessions_text(len(sessions))
        acts.append(f"terminate {number}: {words.of_whom(sessions)}, {words.ages(sessions)}")
    acts += [
        f"{a.action.label}, stop timeout {duration(a.action.replica.stop_timeout)}: {a.because}"
        for a in step.acts
        if isinstance(a.action, RestartReplica)
    ]
    holds = tuple(words.step_holds(step, said))
    return Step(step.index + 1, step.step.label, step.conditional, tuple(acts), holds)


def budgets(standing: Standing) -> list[Left]:
    """What is left of each limit, in words."""
    found = []
    for budget in standing.budgets:
        wait = duration(budget.frees_at - standing.now) if budget.frees_at else ""
        if budget.allowed is None:
            text = f"backoff after {count(budget.used, 'restart')}, again in {wait}"
            found.append(Left(budget.limits, "backoff", 0, 1, text))
            continue
        when = f"one more in {wait}" if wait and not budget.left else ""
        found.append(Left(budget.limits, budget.rule, budget.left, budget.allowed, when))
    return found
