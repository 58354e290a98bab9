"""What counts as leaked: one meaning for all who speak of leaks."""

from __future__ import annotations

from datetime import timedelta

from remediator.core.model import IDLE, Level, Sample, SessionGroup
from remediator.core.policy import Policy, RestartService, TerminateIdle

MINUTE = timedelta(minutes=1)
_AT_REST = timedelta(minutes=10)


def leak_age(policy: Policy, level: Level) -> timedelta:
    """For how long a session must have been idle to count as leaked.

    What the policy says of the culprit, whatever the level. A policy that asks for none says what it would
    terminate. With few slots taken that is it, since pools rest; from alert on, who is busy uses a session
    more often than once a minute.

    Args:
        policy: The policy.
        level: How serious it is.
    """
    steps = policy.remediate.steps
    suspicions = (step.suspicion for step in steps if isinstance(step, RestartService))
    said = [suspicion.older_than for suspicion in suspicions if suspicion is not None]
    if said:
        return min(said)
    terminated = terminated_age(policy)
    return min(terminated, MINUTE) if level >= Level.ALERT else terminated


def terminated_age(policy: Policy) -> timedelta:
    """For how long a session must have been idle to be terminated; ten minutes if the policy terminates none.

    Args:
        policy: The policy.
    """
    steps = policy.remediate.steps
    return min((step.older_than for step in steps if isinstance(step, TerminateIdle)), default=_AT_REST)


def is_leaked(policy: Policy, older_than: timedelta, group: SessionGroup) -> bool:
    """Tell whether sessions are leaked: idle for that long, in a transaction or not, and not spared.

    Args:
        policy: Names the users and applications whose sessions are meant to be there.
        older_than: For how long; one of the ages that the sample counts by.
        group: The sessions.
    """
    return (
        group.state.startswith(IDLE)
        and group.idle_for_at_least >= older_than.total_seconds()
        and not policy.spare.spares_user(group.user)
        and not policy.spare.spares_application(group.application)
    )


def leaked_groups(policy: Policy, older_than: timedelta, sample: Sample) -> tuple[SessionGroup, ...]:
    """The leaked sessions of a sample.

    Args:
        policy: As for `is_leaked`.
        older_than: As for `is_leaked`.
        sample: The sample.
    """
    return tuple(group for group in sample.groups if is_leaked(policy, older_than, group))
