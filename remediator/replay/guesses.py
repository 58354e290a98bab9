"""Sessions and replicas of which nothing but their number, or nothing at all, was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from remediator.core.model import CLIENT_BACKEND, IDLE, Replica, ReplicaState, Sample, Session, SessionId
from remediator.core.model import SessionGroup as Group
from remediator.core.owner import Owner

_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
_GUESSED = "guessed:"
_Alike = tuple[str, str, str | None, str, bool, Owner]


def guessed(target: Session | Replica) -> bool:
    """Tell whether something is a guess."""
    return target.id.pid < 0 if isinstance(target, Session) else target.id.startswith(_GUESSED)


@dataclass(slots=True)
class Guesses:
    """Makes what is missing, the same each time, so that what was counted as gone stays so."""

    _pids: dict[tuple[_Alike, int], int] = field(default_factory=dict)
    _replicas: dict[str, tuple[Replica, ...]] = field(default_factory=dict)

    def sessions(self, sample: Sample) -> tuple[Session, ...]:
        """As many sessions as were counted, each idle for as long as all of its group were at least."""
        numbers: dict[_Alike, int] = {}
        made: list[Session] = []
        for group in sorted(sample.groups, key=lambda g: -g.idle_for_at_least):
            alike = (group.user, group.application, group.address, group.state, group.unused, group.owner)
            for _ in range(group.count):
                number = numbers[alike] = numbers.get(alike, 0) + 1
                pid = self._pids.setdefault((alike, number), -len(self._pids) - 1)
                made.append(_session(pid, group, sample.moment.at))
        return tuple(made)

    def replicas(self, service: str, seen: tuple[Replica, ...] | None) -> tuple[Replica, ...]:
        """What was seen, else what was seen last, else one replica that may be restarted.

        Args:
            service: The service.
            seen: What was seen now, None when nobody looked.
        """
        if seen is not None:
            self._replicas[service] = seen
        alone = Replica(service, f"{_GUESSED}{service}", service, ReplicaState.RUNNING, "")
        return self._replicas.get(service, (alone,))


def _session(pid: int, group: Group, at: datetime) -> Session:
    idle = group.idle_for_at_least if group.state == IDLE else 0.0
    return Session(
        id=SessionId(pid, _UNKNOWN),
        user=group.user,
        database=None,
        application=group.application,
        address=group.address,
        backend_type=CLIENT_BACKEND,
        state=group.state,
        state_change=at - timedelta(seconds=group.idle_for_at_least),
        idle_for=idle,
        in_transaction=group.state != IDLE,
        unused=group.unused,
        owner=group.owner,
    )
