"""What was seen of the world, sessions and replicas, as plain dictionaries, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from remediator.core.model import Exempt, Health, Replica, ReplicaState, Session, SessionId
from remediator.core.owner import UNATTRIBUTED, Owner, OwnerKind
from remediator.core.times import instant, maybe_instant, maybe_read_instant, read_instant

Record = dict[str, Any]


def write_session(session: Session) -> Record:
    """Write a session."""
    return {
        "pid": session.id.pid,
        "backend_start": instant(session.id.backend_start),
        "user": session.user,
        "database": session.database,
        "application": session.application,
        "address": session.address,
        "backend_type": session.backend_type,
        "state": session.state,
        "state_change": maybe_instant(session.state_change),
        "idle_for": session.idle_for,
        "in_transaction": session.in_transaction,
        "superuser": session.superuser,
        "own": session.own,
        "advisory_lock": session.advisory_lock,
        "listening": session.listening,
        "hidden": session.hidden,
        "unused": session.unused,
        "owner": {"kind": session.owner.kind.value, "name": session.owner.name},
    }


def read_session(record: Mapping[str, Any]) -> Session:
    """Read what `write_session` wrote."""
    return Session(
        id=SessionId(record["pid"], read_instant(record["backend_start"])),
        user=record["user"],
        database=record["database"],
        application=record["application"],
        address=record["address"],
        backend_type=record["backend_type"],
        state=record["state"],
        state_change=maybe_read_instant(record["state_change"]),
        idle_for=record["idle_for"],
        in_transaction=record["in_transaction"],
        superuser=record["superuser"],
        own=record["own"],
        advisory_lock=record["advisory_lock"],
        listening=record["listening"],
        hidden=record["hidden"],
        unused=record.get("unused", False),  # older records say neither this nor the next
        owner=_read_owner(record.get("owner")),
    )


def _read_owner(record: Mapping[str, Any] | None) -> Owner:
    return UNATTRIBUTED if record is None else Owner(OwnerKind(record["kind"]), record["name"])


def write_replica(replica: Replica) -> Record:
    """Write a replica."""
    return {
        "service": replica.service,
        "id": replica.id,
        "name": replica.name,
        "state": replica.state.value,
        "started": replica.started,
        "restarts": replica.restarts,
        "health": replica.health.value,
        "stop_timeout": replica.stop_timeout.total_seconds(),
        "addresses": sorted(replica.addresses),
        "exempt": replica.exempt.name.lower() if replica.exempt else None,
        "started_at": maybe_instant(replica.started_at),
        "error": replica.error,
    }


def read_replica(record: Mapping[str, Any]) -> Replica:
    """Read what `write_replica` wrote."""
    return Replica(
        service=record["service"],
        id=record["id"],
        name=record["name"],
        state=ReplicaState(record["state"]),
        started=record["started"],
        restarts=record["restarts"],
        health=Health(record["health"]),
        stop_timeout=timedelta(seconds=record["stop_timeout"]),
        addresses=frozenset(record["addresses"]),
        exempt=Exempt[record["exempt"].upper()] if record["exempt"] else None,
        started_at=maybe_read_instant(record.get("started_at")),  # older records do not say
        error=record.get("error", ""),
    )
