"""What is being done about a database, in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing, pause_end
from remediator.core.ledger import Phase
from remediator.core.model import Level, Mode
from remediator.core.plan import Objection, Plan
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
        if locked := _locked(standing):
            return Doing("bad", "No longer critical, but a person is needed", f"{locked} {done}")
        tone, title = ("dry", "Would be relieved") if mode is Mode.DRY_RUN else ("calm", "Relieved")
        return Doing(tone, f"{title}; watching whether it lasts", done)
    if assessment.unknown:
        return Doing("bad", "Nothing is done while the state is not known", done)
    if turn.in_flight:
        return Doing("act", f"Acting: {story.under_way if story and story.under_way else 'verifying'}", done)
    if plan is not None and plan.held:
        title = _order(plan, turn) if plan.ordered else "Held: a person is needed"
        return Doing("wait" if plan.ordered else "bad", title, f"{_sentence(plan)} {done}")
    if plan is not None and plan.next_step is None and not plan.relieved:
        return Doing("wait", "Waiting", f"{_sentence(plan)} {done}")
    return Doing("dry" if mode is Mode.DRY_RUN else "act", "At work", done)


def _order(plan: Plan, turn: Turn) -> str:
    """Which order of people it is held by, and until when."""
    found = []
    if Objection.MAINTENANCE in plan.objections and turn.maintenance is not None:
        found.append(f"maintenance window {turn.maintenance.end}")
    if Objection.PAUSED in plan.objections and turn.orders is not None and turn.orders.pause is not None:
        found.append(f"paused {pause_end(turn.orders.pause)}")
    why = ", ".join(found) or "held by an order of people"
    return f"{why[:1].upper()}{why[1:]}"


def _locked(standing: Standing | None) -> str:
    """What stays locked, and why; empty when nothing does."""
    locks = standing.own if standing is not None else ()
    return " ".join(f"{lock.scope} stays locked until `remediator ack`: {lock.reason}." for lock in locks)


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
        text = standing.pause.reason or "Nothing would be done."
        return Doing("wait", f"Paused {pause_end(standing.pause)}", text)
    if locked := _locked(standing):
        calm = "Slots are free" if assessment.level is Level.NORMAL else "Not critical"
        return Doing("bad", f"{calm}, but a person is needed", locked)
    if assessment.level is Level.NORMAL:
        return Doing("calm", "All is well", "Nothing has to be done.")
    return Doing("calm", "Watching", "Nothing is done before critical is confirmed.")
