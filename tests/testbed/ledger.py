"""What tests write into ledgers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from remediator.core.ledger import Incident, Intent, Outcome, Phase, Result
from remediator.core.model import Health, Replica, ReplicaState, Session, SessionId
from remediator.core.plan import Action, RestartReplica, TerminateSession

NOW = datetime(2031, 5, 4, 3, 2, 1, 987_654, tzinfo=UTC)
DAY = timedelta(days=1)

RESTART = RestartReplica(
    Replica(
        service="api",
        id="c0ffee",
        name="shop-api-1",
        state=ReplicaState.RUNNING,
        started="2031-05-04T03:00:00.123456789Z",
        health=Health.HEALTHY,
        addresses=frozenset({"10.0.0.3"}),
    )
)


def terminate(pid: int = 4711) -> TerminateSession:
    """The termination of a session idle for twenty minutes."""
    return TerminateSession(
        Session(
            id=SessionId(pid, NOW - DAY),
            user="shop",
            database="shop",
            application="celery",
            address=None,
            backend_type="client backend",
            state="idle",
            state_change=NOW - timedelta(minutes=20),
            idle_for=1200.25,
        )
    )


def incident(name: str = "i1", opened_at: datetime = NOW, **more: object) -> Incident:
    """An open incident."""
    return replace(Incident(name, "shop", opened_at, "95 of 97 slots used"), **more)  # type: ignore[arg-type]


def closed(name: str, opened_at: datetime, closed_at: datetime) -> Incident:
    """An incident that is over."""
    return incident(name, opened_at, phase=Phase.CLOSED, closed_at=closed_at)


def intent(action: Action | None = None, at: datetime = NOW, of: str = "i1") -> Intent:
    """An intent of an incident, by default a termination."""
    return Intent(of, "shop", 1, 0, action or terminate(), "oldest first", at)


def confirmed(at: datetime = NOW) -> Outcome:
    """The outcome of what worked."""
    return Outcome(Result.CONFIRMED, at, "gone")
