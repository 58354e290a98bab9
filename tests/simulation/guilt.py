"""Who really holds the leaked sessions, and whether a restart hits somebody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from remediator.core.model import SessionId, Slots
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.policy import Policy, RestartService, Spare
from remediator.core.suspicion import Otherwise, Suspicion
from tests.simulation.book import Deed, Held
from tests.simulation.world import SimDatabase

_LATE = 60.0  # so long may whoever looks not know yet that a container has ended


def suspicion_of(policy: Policy, step: int, service: str) -> Suspicion | None:
    """What a policy's step wants to be shown before it restarts a service; None when nothing."""
    steps = policy.remediate.steps
    wanted = steps[step] if step < len(steps) else None
    return wanted.suspicion if isinstance(wanted, RestartService) and wanted.service == service else None


def suspicions(policy: Policy) -> set[tuple[Spare, timedelta]]:
    """What a policy takes for leaked, by its steps."""
    steps = (step for step in policy.remediate.steps if isinstance(step, RestartService))
    return {(policy.spare, step.suspicion.older_than) for step in steps if step.suspicion}


def held(database: SimDatabase, spare: Spare, older_than: timedelta, now: float) -> Held:
    """Look at every single session.

    Args:
        database: Where.
        spare: Whose sessions are meant to be there.
        older_than: From which age on they are leaked.
        now: The true time, in seconds.
    """
    found, since = Held(), database.now() - older_than
    meant: dict[tuple[str, str], bool] = {}
    for session in database.every_session():
        if session.state_change is None or session.state_change > since:
            continue
        if session.backend_type != "client backend" or not session.state.startswith("idle"):
            continue
        names = session.user, session.application
        if names not in meant:
            meant[names] = _spared(spare, *names)
        if meant[names]:
            continue
        found.total += 1
        holder = database.holders.get(session)
        if holder is None:
            continue
        if holder.left_at is None:
            found.services[holder.service] += 1
        elif now - holder.left_at < _LATE:
            found.doubtful[holder.service] += 1
        else:
            found.left += 1
    return found


def _spared(spare: Spare, user: str, application: str) -> bool:
    by_user = any(fnmatchcase(user, pattern) for pattern in spare.users)
    return by_user or any(fnmatchcase(application, pattern) for pattern in spare.applications)


def note_holder(deed: Deed, database: SimDatabase, victim: SessionId) -> None:
    """Note whose session a termination is about."""
    session = database.find(victim)
    holder = database.holders.get(session) if session is not None else None
    if holder is None:
        return
    left_for = 0.0 if holder.left_at is None else deed.decided - holder.left_at
    deed.holder, deed.sure = (holder.service if left_for < _LATE else ""), holder.left_at is None


@dataclass(frozen=True, slots=True)
class _Bounds:
    """How much each service has leaked, between two numbers: what came of some actions is not known."""

    most: Counter[str]
    least: Counter[str]
    lowest: int
    highest: int


def _bounds(now: Held, deeds: Sequence[Deed]) -> _Bounds:
    most, least = now.services + now.doubtful, Counter(now.services)
    restarted: dict[str, int] = {}
    for deed in deeds:
        if isinstance(deed.entry.intent.action, RestartReplica):
            restarted[deed.service] = max(deed.entry.id, restarted.get(deed.service, 0))
    ended, surely = 0, 0
    for deed in deeds:
        if isinstance(deed.entry.intent.action, TerminateSession):
            most[deed.holder] += 1
            ended += 1
            if deed.effects and deed.sure and deed.entry.id > restarted.get(deed.holder, 0):
                least[deed.holder] += 1
                surely += 1
    return _Bounds(most, least, now.total + surely, now.total + ended)


def innocent(
    suspicion: Suspicion, service: str, now: Held, slots: Slots, deeds: Sequence[Deed], *, told: bool
) -> str:
    """Say why a service is not the one that leaks; nothing when it may be.

    Args:
        suspicion: What has to be shown.
        service: The service that is to be restarted.
        now: Who held what when the cycle looked.
        slots: What it saw of the server's slots.
        deeds: What was done in the incident so far.
        told: Sessions can be told to be a service's.
    """
    found = _bounds(now, deeds)
    enough = suspicion.least * (slots.max_connections - slots.superuser_reserved - slots.reserved) - 1e-6

    def clear(mine: int, of: int) -> bool:
        return mine >= suspicion.share * of - 1e-6 and mine >= enough

    others = [name for name in suspicion.among if name != service]
    guilty = [name for name in others if clear(found.least[name], found.highest)]
    if clear(found.most[service], found.lowest) and not guilty:
        return ""
    figures = f"{found}, {now}"
    if suspicion.otherwise is Otherwise.HOLD:
        return figures
    if told and len(guilty) == 1 and not clear(found.most[service], found.lowest):
        return f"{guilty[0]} is it: {figures}"
    if told and 2 * now.left > found.highest and now.left >= enough:
        return f"{now.left} are nobody's any more: {figures}"
    return ""
