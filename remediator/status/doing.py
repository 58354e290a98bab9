"""What is being done about a database, in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.ledger import Phase
from remediator.core.model import Level, Mode
from remediator.core.plan import Plan
from remediator.core.turn import Turn
from remediator.status import words
from remediator.status.stories import Story


@dataclass(frozen=True, slots=True)
class Doing:
    """What is being done about it.

    Attributes:
        tone: `calm`, `act`, `wait`, `bad` or `dry`.
    """

    tone: str
    title: str
    text: str = ""


def doing(turn: Turn, standing: Standing | None, mode: Mode, story: Story | None) -> Doing:
    """Say in a sentence what is being done.

    Args:
        turn: The newest cycle's.
        standing: What is in force, None when it could not be read.
        mode: Whether anything is really done.
        story: That of the open incident.
    """
    assessment, incident, plan = turn.assessment, turn.incident, turn.plan
    done = f"So far: {story.summary}." if story else ""
    if incident is None:
        if plan is not None and plan.held and not assessment.unknown and assessment.level is Level.CRITICAL:
            # Nothing could be recorded, not even that it is critical.
            return Doing(
                "bad", "Critical, and held: a person is needed", f"{_sentence(plan)} Nothing is done."
            )
        return _idle(assessment, standing)
    if incident.phase is Phase.RELIEVED:
        tone, title = ("dry", "Would be relieved") if mode is Mode.DRY_RUN else ("calm", "Relieved")
        return Doing(tone, f"{title}; watching whether it lasts", done)
    if assessment.unknown:
        return Doing("bad", "Nothing is done while the state is not known", done)
    if turn.in_flight:
        return Doing("act", f"Acting: {story.under_way if story and story.under_way else 'verifying'}", done)
    if plan is not None and plan.held:
        title = "Held by an order of people" if plan.ordered else "Held: a person is needed"
        return Doing("wait" if plan.ordered else "bad", title, f"{_sentence(plan)} {done}")
    if plan is not None and plan.next_step is None and not plan.relieved:
        return Doing("wait", "Waiting", f"{_sentence(plan)} {done}")
    return Doing("dry" if mode is Mode.DRY_RUN else "act", "At work", done)


def _sentence(plan: Plan) -> str:
    """Why it does nothing. Only the first letter is ours to change: names follow."""
    why = words.why_held(plan)
    return f"{why[:1].upper()}{why[1:].removesuffix('.')}."


def _idle(assessment: Assessment, standing: Standing | None) -> Doing:
    if assessment.unknown:
        return Doing("bad", "The state is not known", "Nothing is done until it is.")
    if assessment.pending is Level.CRITICAL:
        return Doing("wait", "Critical is seen, to be confirmed", "It must last before anything is done.")
    if standing is not None and standing.pause is not None:
        return Doing("wait", "Paused", standing.pause.reason or "Nothing would be done.")
    if assessment.level is Level.NORMAL:
        return Doing("calm", "All is well", "Nothing has to be done.")
    return Doing("calm", "Watching", "Nothing is done before critical is confirmed.")
