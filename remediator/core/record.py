"""Values as plain dictionaries with stable keys, and back: how they are kept and shown to programs.

A record holds only what JSON knows. Keys and words in it never change their meaning; a change that an
older reader would misread raises `SCHEMA`. Readers ignore keys they do not know. Times are written in
UTC with microseconds, so that records sort as text; lengths of time are seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from remediator.core.clock import ClockMark
from remediator.core.ledger import Incident, Intent, Lock, Outcome, Pause, Phase, Result
from remediator.core.model import Exempt, Health, Replica, ReplicaState, Session, SessionId
from remediator.core.plan import Action, RestartReplica, TerminateSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA = 1

Record = dict[str, Any]
Recordable = TerminateSession | RestartReplica | Intent | Outcome | Incident | Lock | Pause | ClockMark

_T = TypeVar("_T")


def to_record(value: Recordable) -> Record:
    """Write a value as a dictionary that JSON can hold.

    Raises:
        ValueError: A time in it has no time zone, so that nobody could say when it was.
    """
    kind, write, _ = _CODECS[type(value)]
    return {"schema": SCHEMA, "kind": kind, **write(value)}


def from_record(record: Mapping[str, Any], expected: type[_T]) -> _T:
    """Read a value back from what `to_record` wrote.

    Args:
        record: The dictionary.
        expected: The type that the value must have.

    Raises:
        ValueError: It is not a record, not of this type, or of a newer schema.
    """
    try:
        schema = record["schema"]
        if schema != SCHEMA:
            raise ValueError(f"a record of schema {schema!r}; this version of remediator reads {SCHEMA}")
        kind, _, read = _CODECS[expected]
        if record["kind"] != kind:
            raise ValueError(f"a record of kind {record['kind']!r}, expected {kind!r}")
        return cast("_T", read(record))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of {expected.__name__}: {type(error).__name__} {error}") from error


def instant(at: datetime) -> str:
    """Write a time in UTC with microseconds; such texts sort as the times do.

    Raises:
        ValueError: The time has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"a time without a time zone: {at.isoformat()}")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without a time zone: {text}")
    return at


def _maybe_instant(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def _maybe_time(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _write_session(session: Session) -> Record:
    return {
        "pid": session.id.pid,
        "backend_start": instant(session.id.backend_start),
        "user": session.user,
        "database": session.database,
        "application": session.application,
        "address": session.address,
        "backend_type": session.backend_type,
        "state": session.state,
        "state_change": _maybe_instant(session.state_change),
        "idle_for": session.idle_for,
        "in_transaction": session.in_transaction,
        "superuser": session.superuser,
        "own": session.own,
        "advisory_lock": session.advisory_lock,
        "listening": session.listening,
        "hidden": session.hidden,
    }


def _read_session(record: Mapping[str, Any]) -> Session:
    return Session(
        id=SessionId(record["pid"], _time(record["backend_start"])),
        user=record["user"],
        database=record["database"],
        application=record["application"],
        address=record["address"],
        backend_type=record["backend_type"],
        state=record["state"],
        state_change=_maybe_time(record["state_change"]),
        idle_for=record["idle_for"],
        in_transaction=record["in_transaction"],
        superuser=record["superuser"],
        own=record["own"],
        advisory_lock=record["advisory_lock"],
        listening=record["listening"],
        hidden=record["hidden"],
    )


def _write_replica(replica: Replica) -> Record:
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
        "started_at": _maybe_instant(replica.started_at),
    }


def _read_replica(record: Mapping[str, Any]) -> Replica:
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
        started_at=_maybe_time(record.get("started_at")),  # older records do not say
    )


def _write_intent(intent: Intent) -> Record:
    return {
        "incident": intent.incident,
        "database": intent.database,
        "round": intent.round,
        "step": intent.step,
        "action": to_record(intent.action),
        "because": intent.because,
        "at": instant(intent.at),
        **({"server": intent.server} if intent.server else {}),
        **({"steady": instant(intent.steady)} if intent.steady else {}),
    }


def _read_intent(record: Mapping[str, Any]) -> Intent:
    return Intent(
        incident=record["incident"],
        database=record["database"],
        round=record["round"],
        step=record["step"],
        action=_read_action(record["action"]),
        because=record["because"],
        at=_time(record["at"]),
        server=record.get("server", ""),
        steady=_maybe_time(record.get("steady")),
    )


def _read_action(record: Mapping[str, Any]) -> Action:
    actions: dict[str, type[TerminateSession | RestartReplica]] = {
        _CODECS[action][0]: action for action in (TerminateSession, RestartReplica)
    }
    return from_record(record, actions[record["kind"]])


def _write_outcome(outcome: Outcome) -> Record:
    return {"result": outcome.result.value, "at": instant(outcome.at), "detail": outcome.detail}


def _read_outcome(record: Mapping[str, Any]) -> Outcome:
    return Outcome(result=Result(record["result"]), at=_time(record["at"]), detail=record["detail"])


def _write_incident(incident: Incident) -> Record:
    return {
        "id": incident.id,
        "database": incident.database,
        "opened_at": instant(incident.opened_at),
        "because": incident.because,
        "phase": incident.phase.value,
        "round": incident.round,
        "step": incident.step,
        "not_before": _maybe_instant(incident.not_before),
        "failed_rounds": incident.failed_rounds,
        "used": incident.used,
        "usable": incident.usable,
        "relieved_at": _maybe_instant(incident.relieved_at),
        "closed_at": _maybe_instant(incident.closed_at),
        "ladder": incident.ladder,
    }


def _read_incident(record: Mapping[str, Any]) -> Incident:
    return Incident(
        id=record["id"],
        database=record["database"],
        opened_at=_time(record["opened_at"]),
        because=record["because"],
        phase=Phase(record["phase"]),
        round=record["round"],
        step=record["step"],
        not_before=_maybe_time(record["not_before"]),
        failed_rounds=record["failed_rounds"],
        used=record["used"],
        usable=record["usable"],
        relieved_at=_maybe_time(record["relieved_at"]),
        closed_at=_maybe_time(record["closed_at"]),
        ladder=record.get("ladder", ""),
    )


def _write_lock(lock: Lock) -> Record:
    return {"scope": lock.scope, "since": instant(lock.since), "reason": lock.reason}


def _read_lock(record: Mapping[str, Any]) -> Lock:
    return Lock(scope=record["scope"], since=_time(record["since"]), reason=record["reason"])


def _write_pause(pause: Pause) -> Record:
    return {
        "since": instant(pause.since),
        "until": _maybe_instant(pause.until),
        "reason": pause.reason,
        "ends": _maybe_instant(pause.ends),
    }


def _read_pause(record: Mapping[str, Any]) -> Pause:
    return Pause(
        since=_time(record["since"]),
        until=_maybe_time(record["until"]),
        reason=record["reason"],
        ends=_maybe_time(record.get("ends")),
    )


def _write_clock(mark: ClockMark) -> Record:
    at, steady = instant(mark.at), instant(mark.steady)
    return {"boot": mark.boot, "uptime": mark.uptime, "at": at, "steady": steady}


def _read_clock(record: Mapping[str, Any]) -> ClockMark:
    at, steady = _time(record["at"]), _time(record["steady"])
    return ClockMark(boot=record["boot"], uptime=record["uptime"], at=at, steady=steady)


_CODECS: Mapping[type, tuple[str, Callable[[Any], Record], Callable[[Mapping[str, Any]], object]]] = {
    TerminateSession: (
        "terminate_session",
        lambda action: {"session": _write_session(action.session)},
        lambda record: TerminateSession(_read_session(record["session"])),
    ),
    RestartReplica: (
        "restart_replica",
        lambda action: {"replica": _write_replica(action.replica)},
        lambda record: RestartReplica(_read_replica(record["replica"])),
    ),
    Intent: ("intent", _write_intent, _read_intent),
    Outcome: ("outcome", _write_outcome, _read_outcome),
    Incident: ("incident", _write_incident, _read_incident),
    Lock: ("lock", _write_lock, _read_lock),
    Pause: ("pause", _write_pause, _read_pause),
    ClockMark: ("clock", _write_clock, _read_clock),
}
