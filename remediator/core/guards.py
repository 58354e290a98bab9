"""What speaks against an action: one small rule each, all of them evaluated, none hidden."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import compress

from remediator.core.budgets import cooldown, pause_text, usages
from remediator.core.ledger import Incident, Ledger, Occasion, Phase, database_scope, service_scope
from remediator.core.maintenance import Window
from remediator.core.model import (
    CLIENT_BACKEND,
    IDLE,
    Evidence,
    Health,
    Replica,
    ReplicaState,
    Sample,
    Session,
)
from remediator.core.onpaper import unseen
from remediator.core.plan import Objection
from remediator.core.policy import Limits, Spare
from remediator.core.text import duration

_SPARED = (
    Objection.NOT_CLIENT,
    Objection.SUPERUSER,
    Objection.ACTIVE,
    Objection.IN_TRANSACTION,
    Objection.TOO_YOUNG,
    Objection.ADVISORY_LOCK,
    Objection.LISTENING,
    Objection.SPARED_USER,
    Objection.SPARED_APPLICATION,
)


# With nothing of ours going on, relief is relief even when we did not bring it.
MERELY_HELD = frozenset(
    {
        Objection.WAITING,
        Objection.PAUSED,
        Objection.MAINTENANCE,
        Objection.LOCKED,
        Objection.ANOTHER_ACTS,
    }
)


def spare_session(session: Session, spare: Spare, older_than: timedelta) -> tuple[Objection, ...]:
    """List every rule that spares a session; none means that it may be terminated.

    Args:
        session: The session as it was read.
        spare: What the policy spares on top of what is always spared.
        older_than: How long a session must have been idle.
    """
    if session.hidden:
        return (Objection.HIDDEN,)  # whatever else is read of it means nothing
    if session.own:
        return (Objection.OWN_SESSION,)
    idle = session.state == IDLE and session.state_change is not None
    rules = (
        session.backend_type != CLIENT_BACKEND,
        session.superuser,
        not idle,
        session.in_transaction,
        idle and session.idle_for < older_than.total_seconds(),
        session.advisory_lock,
        idle and session.listening,
        spare.spares_user(session.user),
        spare.spares_application(session.application),
    )
    return tuple(compress(_SPARED, rules)) if True in rules else ()


def spare_replica(
    replica: Replica, min_uptime: timedelta, now: datetime
) -> tuple[tuple[Objection, ...], str]:
    """List what speaks against restarting a replica, and the detail in words.

    Args:
        replica: The replica as it was read.
        min_uptime: How long it must have been up.
        now: Wall-clock time.
    """
    if replica.exempt is not None:
        return (Objection.EXEMPT,), replica.exempt.value
    if replica.state is not ReplicaState.RUNNING:
        return (Objection.NOT_RUNNING,), f"it is {replica.state}"
    if replica.health is Health.STARTING and min_uptime:
        return (Objection.JUST_STARTED,), "its health check has not passed yet"
    if replica.started_at is not None:
        up = abs(now - replica.started_at)  # its clock need not be ours
        if up < min_uptime:
            return (Objection.JUST_STARTED,), f"up for {duration(up)}, less than {duration(min_uptime)}"
    return (), ""


def service_objections(
    occasion: Occasion, database: str, ledger: Ledger, limits: Limits, now: datetime
) -> tuple[tuple[Objection, ...], str]:
    """List what speaks against restarting any replica of a service now, and the detail in words.

    Args:
        occasion: The restart that is considered. Its replicas count as one: what was charged on the
            same occasion does not speak against going on with it, what was charged on others does.
        database: The database for whose sake it would be restarted.
        ledger: The ledger.
        limits: The policy's limits.
        now: Time on the ledger's clock.
    """
    service = occasion.service
    objections = []
    details = []
    lock = ledger.lock(service_scope(service))
    if lock is not None:
        objections.append(Objection.SERVICE_LOCKED)
        details.append(lock.reason)
    if ledger.restart_in_flight(service):
        objections.append(Objection.IN_FLIGHT)
    if any(entry.doubtful for entry in ledger.restarted_on(occasion).values()):
        objections.append(Objection.NOT_UP)
    waits = cooldown(limits, ledger.restarts_of(service, apart_from=occasion), now)
    if waits:
        objections.append(Objection.COOLDOWN)
        details += waits
    others = ledger.restarts(database, apart_from=occasion)
    full = [used.describe(now) for used in usages(limits.restart, others, now) if not used.left]
    if full:
        objections.append(Objection.RATE_LIMIT)
        details += [f"{limit}, for all services" for limit in full]
    return tuple(objections), "; ".join(details)


def gate(
    database: str,
    sample: Sample,
    evidence: Evidence,
    incident: Incident,
    ledger: Ledger,
    maintenance: Window | None,
    now: datetime,
) -> tuple[tuple[Objection, ...], tuple[str, ...]]:
    """List what stops everything for a database, whatever the steps are, and the detail of each in words.

    Args:
        database: Its name.
        sample: The newest sample.
        evidence: What that sample says about the critical level.
        incident: The open incident.
        ledger: The ledger.
        maintenance: The maintenance window that is in force.
        now: Time on the ledger's clock.
    """
    found = list(_gate(database, sample, evidence, incident, ledger, now))
    if maintenance is not None:
        found.insert(0, (Objection.MAINTENANCE, maintenance.text))
    return tuple(o for o, _ in found), tuple(d for _, d in found)


def _gate(
    database: str, sample: Sample, evidence: Evidence, incident: Incident, ledger: Ledger, now: datetime
) -> Iterator[tuple[Objection, str]]:
    if ledger.pause is not None and ledger.pause.holds_at(now):
        yield Objection.PAUSED, pause_text(ledger.pause, now)
    lock = ledger.lock(database_scope(database))
    if lock is not None:
        yield Objection.LOCKED, lock.reason
    if evidence is Evidence.UNKNOWN:
        yield Objection.UNKNOWN_EVIDENCE, sample.trouble.detail if sample.trouble else ""
    if sample.server is not None and sample.server.in_recovery:
        yield Objection.STANDBY, ""
    if sample.server is not None and sample.server.rival:
        holder = sample.server.holder
        yield Objection.ANOTHER_ACTS, holder.text if holder else ""
    if sample.replaced:
        yield Objection.SERVER_CHANGED, sample.replaced
    if ledger.open_entries(database):
        yield Objection.IN_FLIGHT, ""
    if incident.not_before is not None and now < incident.not_before:
        which = Objection.WAITING if incident.phase is Phase.HELD else Objection.SETTLING
        left = f"{duration(incident.not_before - now)} left"
        why = unseen(ledger, incident) if which is Objection.WAITING else ""
        yield which, f"{left}; {why}" if why else left
