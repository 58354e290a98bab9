"""Whose turn it is, and whether it has to be waited for."""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core.plan import Objection, RestartReplica, StepPlan


def wait_for_turn(steps: Sequence[StepPlan]) -> tuple[tuple[Objection, ...], str] | None:
    """Tell what keeps the step whose turn it is from being taken for now, and the detail in words.

    Args:
        steps: The rest of the round, as planned.

    Returns:
        None when nothing is to be waited for.
    """
    return _elsewhere(steps) or _just_started(steps) or _too_many(steps) or _unreadable(steps)


def _elsewhere(steps: Sequence[StepPlan]) -> tuple[tuple[Objection, ...], str] | None:
    """Wait when the step whose turn it is is being carried out right now, for another database's sake."""
    first = next((step for step in steps if step.acts or Objection.IN_FLIGHT in step.objections), None)
    if first is None or first.acts:
        return None
    return (Objection.IN_FLIGHT,), f"{first.step.label}, for another database"


def _just_started(steps: Sequence[StepPlan]) -> tuple[tuple[Objection, ...], str] | None:
    """Wait when the step whose turn it is would fight a start or a deploy of that very service."""
    first = next((step for step in steps if step.acts or _waits_for_start(step)), None)
    if first is None or first.acts:
        return None
    details = (hold.detail for hold in first.holds if Objection.JUST_STARTED in hold.objections)
    return (Objection.JUST_STARTED,), f"{first.step.label}: {next(details)}"


def _waits_for_start(step: StepPlan) -> bool:
    """Whether time alone makes the step possible; what keeps crashing is always young, and not waited for."""
    return any(
        hold.objections == (Objection.JUST_STARTED,)
        and isinstance(hold.action, RestartReplica)
        and not hold.action.replica.restarts
        for hold in step.holds
    )


def _too_many(steps: Sequence[StepPlan]) -> tuple[tuple[Objection, ...], str] | None:
    """Do nothing at all when the step whose turn it is wants so much that a mistake is likelier."""
    first = next((step for step in steps if step.acts or Objection.BLAST_RADIUS in step.objections), None)
    if first is None or first.acts:
        return None
    return (Objection.BLAST_RADIUS,), f"{first.step.label}: {first.detail}"


def _unreadable(steps: Sequence[StepPlan]) -> tuple[tuple[Objection, ...], str] | None:
    """Keep a step's turn while what it needs cannot be read, unless another one has something to do."""
    unread = [step for step in steps if Objection.UNREADABLE in step.objections]
    if not unread or any(step.acts for step in steps):
        return None
    return (Objection.UNREADABLE,), "; ".join(dict.fromkeys(step.detail for step in unread))
