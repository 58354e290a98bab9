"""The world as it would be had a dry run's actions been carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from remediator.core.ledger import Incident, Ledger, Result
from remediator.core.model import CLIENT_BACKEND, IDLE, Replica, Session, SessionGroup
from remediator.core.owner import OwnerKind
from remediator.core.plan import RestartReplica
from remediator.core.situation import Situation
from remediator.core.trouble import Trouble

UNSEEN = "a dry run cannot see what a restart would have brought"


def discount(situation: Situation) -> tuple[Situation, frozenset[int]]:
    """Count what a dry run has already ended in this incident as gone, as enforcing would have made it.

    That is each session that was terminated, and each that a restarted replica had open by then.

    Args:
        situation: As it was read.

    Returns:
        The situation on paper, and the pids of the sessions that it does without.
    """
    terminated = situation.ledger.simulated_sessions(situation.incident)
    restarted = _restarted(situation.ledger, situation.incident)
    sessions = situation.survey.sessions
    if not (terminated or restarted) or isinstance(sessions, Trouble):
        return situation, frozenset()
    closed = _closed_by(situation, restarted)
    gone = [s for s in sessions if s.id in terminated or closed(s)]
    sample = situation.sample.without(len(gone))
    sample = replace(sample, groups=_less(sample.groups, gone, situation.policy.cutoffs))
    return replace(situation, sample=sample), frozenset(s.id.pid for s in gone)


def unseen(ledger: Ledger, incident: Incident) -> str:
    """Say so where a restart was only simulated: who leaks may go on leaking, or may not; else empty."""
    return UNSEEN if _restarted(ledger, incident) else ""


def _restarted(ledger: Ledger, incident: Incident) -> dict[str, tuple[Replica, datetime]]:
    """The replicas whose restart was simulated in this incident, by name, and when that was last."""
    found: dict[str, tuple[Replica, datetime]] = {}
    for entry in ledger.entries:
        action, at, outcome = entry.intent.action, entry.intent.at, entry.outcome
        if entry.intent.incident != incident.id or not isinstance(action, RestartReplica):
            continue
        if outcome is not None and outcome.result is Result.SIMULATED:
            replica = action.replica
            before = found.get(replica.name)
            found[replica.name] = replica, max(at, before[1]) if before else at
    return found


def _closed_by(
    situation: Situation, restarted: dict[str, tuple[Replica, datetime]]
) -> Callable[[Session], bool]:
    """What tells whether a session would have been closed by one of these restarts.

    It is the service's, and from before. Of several replicas the address tells which one's it is; where it
    does not, all of them must have been restarted.
    """
    by_service: dict[str, list[tuple[Replica, datetime]]] = {}
    for replica, at in restarted.values():
        by_service.setdefault(replica.service, []).append((replica, at))
    whole = {name: _whole(situation, name, restarted) for name in by_service}

    def closed(session: Session) -> bool:
        name, begun = session.owner.name, session.id.backend_start
        if session.owner.kind is not OwnerKind.SERVICE or session.backend_type != CLIENT_BACKEND:
            return False
        own = [at for replica, at in by_service.get(name, ()) if session.address in replica.addresses]
        latest = max(own) if own else whole.get(name)
        return latest is not None and begun < latest

    return closed


def _whole(
    situation: Situation, service: str, restarted: dict[str, tuple[Replica, datetime]]
) -> datetime | None:
    """Since when each replica of a service has been restarted on paper; None while one has not."""
    replicas = situation.survey.services.get(service, ())
    if isinstance(replicas, Trouble) or not replicas:
        return None
    times = [restarted[r.name][1] if r.name in restarted else None for r in replicas if r.exempt is None]
    known = [at for at in times if at is not None]
    return min(known) if known and len(known) == len(times) else None


def _alike(one: Session | SessionGroup) -> tuple[object, ...]:
    return one.owner, one.user or "", one.application, one.address, one.state or ""


def _less(
    groups: Sequence[SessionGroup], gone: Sequence[Session], cutoffs: Sequence[timedelta]
) -> tuple[SessionGroup, ...]:
    """Take sessions out of the groups in which the server counted them; only idle ones by their age."""
    ages = (0.0, *(cutoff.total_seconds() for cutoff in cutoffs))

    def key(one: Session | SessionGroup, age: float) -> tuple[object, ...]:
        return (*_alike(one), one.unused, age) if one.state == IDLE else _alike(one)

    taken = Counter(key(s, max(age for age in ages if age <= s.idle_for)) for s in gone)

    def rest(group: SessionGroup) -> SessionGroup:
        place = key(group, group.idle_for_at_least)
        less = min(group.count, taken[place])
        taken[place] -= less  # the server may count alike sessions in several groups
        return replace(group, count=group.count - less)

    return tuple(rest(group) for group in groups)
