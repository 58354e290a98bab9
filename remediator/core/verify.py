"""From what the world shows after an act to its outcome, or to none yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from remediator.core.ledger import Entry, Outcome, Result
from remediator.core.model import (
    Exempt,
    Health,
    Moment,
    Replica,
    ReplicaState,
    SessionId,
)
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.service import Verification
from remediator.core.text import count, duration
from remediator.core.trouble import Trouble

# A backend that is told to go does so at its next interrupt check, for an idle one at once. The
# server may still be slow to run its exit callbacks when a thousand of them go together.
TERMINATION_PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Sighting:
    """The first look at a replica's new start.

    Attributes:
        started: The start token seen.
        mono: When it was first seen running and not unhealthy, on the monotonic clock.
    """

    started: str
    mono: float


def verify_termination(entry: Entry, alive: frozenset[SessionId] | Trouble, moment: Moment) -> Outcome | None:
    """Judge a termination by whether the session still exists.

    Args:
        entry: An open entry whose action is a termination.
        alive: Those of the sessions asked about that still exist, or why that is not known.
        moment: Now.

    Returns:
        None while it is too early to tell.
    """
    action = entry.intent.action
    assert isinstance(action, TerminateSession)  # noqa: S101  the caller matched it
    now, late = moment.at, _late(entry, TERMINATION_PATIENCE, moment)
    if isinstance(alive, Trouble):
        return Outcome(Result.UNKNOWN, now, alive.detail) if late else None
    if action.session.id not in alive:
        return Outcome(Result.CONFIRMED, now)
    if late:
        return Outcome(Result.UNCONFIRMED, now, f"still there after {duration(TERMINATION_PATIENCE)}")
    return None


def verify_restart(
    entry: Entry,
    replicas: Sequence[Replica] | Trouble,
    verification: Verification,
    sighting: Sighting | None,
    moment: Moment,
) -> tuple[Outcome | None, Sighting | None]:
    """Judge a restart by the replica's start token, state and health.

    Args:
        entry: An open entry whose action is a restart.
        replicas: The service's replicas now, or why they cannot be read.
        verification: What the replica must show, and for how long.
        sighting: What the previous call returned for this entry.
        moment: Now.

    Returns:
        The outcome, None while it is too early to tell; and the sighting to pass to the next call.
    """
    action = entry.intent.action
    assert isinstance(action, RestartReplica)  # noqa: S101  the caller matched it
    before = action.replica
    late = _late(entry, before.stop_timeout + verification.within + verification.steady_for, moment)
    if isinstance(replicas, Trouble):
        # Whoever starts it while nobody can look, such as an engine that comes back, is not to blame it for.
        return (Outcome(Result.UNKNOWN, moment.at, replicas.detail) if late else None), None
    replica = next((r for r in replicas if r.id == before.id), None)
    if replica is None:
        return Outcome(Result.UNKNOWN, moment.at, "it no longer exists"), None
    if replica.exempt is Exempt.REPLACED:
        return Outcome(Result.UNKNOWN, moment.at, f"it is {replica.exempt.value}"), None
    if replica.started == before.started:
        return (_never_started(replica, moment) if late else None), None
    refuted = _refutation(replica, sighting)
    if refuted:
        return Outcome(Result.REFUTED, moment.at, refuted), None
    if replica.state is ReplicaState.RUNNING and replica.health in (Health.NONE, Health.HEALTHY):
        sighting = sighting or Sighting(replica.started, moment.mono)
        if moment.mono - sighting.mono >= verification.steady_for.total_seconds():
            up = f"up for {duration(moment.mono - sighting.mono)}"
            seen = up if replica.health is Health.NONE else f"{replica.health}, {up}"
            return Outcome(Result.CONFIRMED, moment.at, seen), None
        # However late this look is (remediator itself may have been down), what is well now is
        # given its time to stay so.
        return None, sighting
    if late:
        health = "" if replica.health is Health.NONE else f" (health: {replica.health})"
        seen = f"it started, but was {replica.state}{health} when its time was up"
        return Outcome(Result.REFUTED, moment.at, seen), None
    return None, sighting


def _late(entry: Entry, patience: timedelta, moment: Moment) -> bool:
    # Without a ledger's clock, one that was set back must not keep an entry open until it has caught up.
    return abs(moment.steady - entry.intent.counted_at) >= patience


def _never_started(replica: Replica, moment: Moment) -> Outcome:
    if replica.state in (ReplicaState.EXITED, ReplicaState.DEAD):
        why = replica.error or replica.state
        return Outcome(Result.REFUTED, moment.at, f"it was stopped and did not start again: {why}")
    return Outcome(Result.UNCONFIRMED, moment.at, "it was not seen to start again")


def _refutation(replica: Replica, sighting: Sighting | None) -> str:
    if sighting is not None and sighting.started != replica.started:
        return "it started once more by itself"
    if replica.restarts:
        return f"it crashed and was started again {count(replica.restarts, 'time')}"
    if sighting is not None and replica.state in (ReplicaState.EXITED, ReplicaState.DEAD):
        return f"it started and then {replica.state}"
    return ""
