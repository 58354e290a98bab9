"""How much and how long, as a page says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from remediator.core.ledger import Entry, Result
from remediator.core.model import Session
from remediator.core.plan import Objection, Plan, StepPlan
from remediator.core.text import count, duration, durations

_DOUBTFUL = frozenset({Result.UNCONFIRMED, Result.REFUTED, Result.UNKNOWN, Result.DENIED})


def ago(at: datetime, now: datetime) -> str:
    """How long ago something was: `12s ago`."""
    passed = now - at
    return "now" if passed < timedelta(seconds=1) else f"{duration(round(passed.total_seconds()))} ago"


def who(session: Session) -> str:
    """Whose session it is: its owner where that is known, else its application, else its user."""
    if session.owner.known:
        return session.owner.label
    return session.application or session.user or "unnamed"


def of_whom(sessions: Iterable[Session]) -> str:
    """How many sessions of whom, most first: `12 of celery_worker, 3 of api`."""
    counted = Counter(who(session) for session in sessions)
    return ", ".join(f"{number} of {name}" for name, number in counted.most_common())


def ages(sessions: Sequence[Session]) -> str:
    """How long they have been idle."""
    return f"idle for {durations([session.idle_for for session in sessions])}"


def outcomes(entries: Iterable[Entry]) -> str:
    """How many came to which result: `14 confirmed, 1 changed`."""
    counted = Counter(entry.outcome.result.value if entry.outcome else "open" for entry in entries)
    return ", ".join(f"{number} {result}" for result, number in counted.most_common())


def tone_of(entries: Iterable[Entry]) -> str:
    """Whether what was done ended well."""
    results = {entry.outcome.result if entry.outcome else None for entry in entries}
    if results & _DOUBTFUL:
        return "bad"
    if results == {None} or None in results:
        return "open"
    return "dry" if Result.SIMULATED in results else "good"


def because_of(objections: Iterable[Objection], detail: str = "") -> str:
    """Objections in words, with what they leave out."""
    words = ", ".join(objection.meaning for objection in objections)
    return f"{words} ({detail})" if detail and words else words or detail


def step_holds(step: StepPlan, said: str = "") -> list[str]:
    """What keeps a step, or some of what it is about, from being done; each reason once.

    Args:
        step: The step.
        said: What is said already of the whole plan.
    """
    stopped = because_of(step.objections, "" if step.detail in said else step.detail)
    counted = Counter(because_of(hold.objections, hold.detail) for hold in step.holds)
    held = [f"{number} left alone: {why}" for why, number in counted.most_common() if why != stopped]
    return [stopped, *held] if stopped else held


def why_held(plan: Plan) -> str:
    """Why a plan does nothing, as briefly as possible."""
    if plan.objections:
        return plan.because
    parts = []
    for step in plan.steps:
        objections = step.objections or tuple(dict.fromkeys(o for h in step.holds for o in h.objections))
        parts.append(f"{step.step.label}: {because_of(objections, step.detail) or 'had its turn'}")
    return "; ".join(parts) or "every step had its turn"


def sessions_text(number: int) -> str:
    """A number of sessions."""
    return count(number, "session")
