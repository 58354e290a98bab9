"""Values as plain dictionaries with stable keys, and back: how they are kept and shown to programs.

A record holds only what JSON knows. Keys and words in it never change their meaning; a change that an
older reader would misread raises `SCHEMA`. Readers ignore keys they do not know. Times are written in
UTC with microseconds, so that records sort as text; lengths of time are seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from remediator.core.clock import ClockMark
from remediator.core.ledger import Incident, Intent, Lock, Outcome, Pause, Phase, Result
from remediator.core.plan import Action, RestartReplica, TerminateSession
from remediator.core.seen import Record, read_replica, read_session, write_replica, write_session
from remediator.core.times import instant, maybe_instant, maybe_read_instant, read_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA = 1

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
        at=read_instant(record["at"]),
        server=record.get("server", ""),
        steady=maybe_read_instant(record.get("steady")),
    )


def _read_action(record: Mapping[str, Any]) -> Action:
    actions: dict[str, type[TerminateSession | RestartReplica]] = {
        _CODECS[action][0]: action for action in (TerminateSession, RestartReplica)
    }
    return from_record(record, actions[record["kind"]])


def _write_outcome(outcome: Outcome) -> Record:
    return {"result": outcome.result.value, "at": instant(outcome.at), "detail": outcome.detail}


def _read_outcome(record: Mapping[str, Any]) -> Outcome:
    return Outcome(result=Result(record["result"]), at=read_instant(record["at"]), detail=record["detail"])


def _write_incident(incident: Incident) -> Record:
    return {
        "id": incident.id,
        "database": incident.database,
        "opened_at": instant(incident.opened_at),
        "because": incident.because,
        "phase": incident.phase.value,
        "round": incident.round,
        "step": incident.step,
        "not_before": maybe_instant(incident.not_before),
        "failed_rounds": incident.failed_rounds,
        "used": incident.used,
        "usable": incident.usable,
        "relieved_at": maybe_instant(incident.relieved_at),
        "closed_at": maybe_instant(incident.closed_at),
        "ladder": incident.ladder,
        "locked_after": incident.locked_after,
    }


def _read_incident(record: Mapping[str, Any]) -> Incident:
    return Incident(
        id=record["id"],
        database=record["database"],
        opened_at=read_instant(record["opened_at"]),
        because=record["because"],
        phase=Phase(record["phase"]),
        round=record["round"],
        step=record["step"],
        not_before=maybe_read_instant(record["not_before"]),
        failed_rounds=record["failed_rounds"],
        used=record["used"],
        usable=record["usable"],
        relieved_at=maybe_read_instant(record["relieved_at"]),
        closed_at=maybe_read_instant(record["closed_at"]),
        ladder=record.get("ladder", ""),
        locked_after=record.get("locked_after", 0),
    )


def _write_lock(lock: Lock) -> Record:
    return {"scope": lock.scope, "since": instant(lock.since), "reason": lock.reason}


def _read_lock(record: Mapping[str, Any]) -> Lock:
    return Lock(scope=record["scope"], since=read_instant(record["since"]), reason=record["reason"])


def _write_pause(pause: Pause) -> Record:
    return {
        "since": instant(pause.since),
        "until": maybe_instant(pause.until),
        "reason": pause.reason,
        "ends": maybe_instant(pause.ends),
    }


def _read_pause(record: Mapping[str, Any]) -> Pause:
    return Pause(
        since=read_instant(record["since"]),
        until=maybe_read_instant(record["until"]),
        reason=record["reason"],
        ends=maybe_read_instant(record.get("ends")),
    )


def _write_clock(mark: ClockMark) -> Record:
    at, steady = instant(mark.at), instant(mark.steady)
    return {"boot": mark.boot, "uptime": mark.uptime, "at": at, "steady": steady}


def _read_clock(record: Mapping[str, Any]) -> ClockMark:
    at, steady = read_instant(record["at"]), read_instant(record["steady"])
    return ClockMark(boot=record["boot"], uptime=record["uptime"], at=at, steady=steady)


_CODECS: Mapping[type, tuple[str, Callable[[Any], Record], Callable[[Mapping[str, Any]], object]]] = {
    TerminateSession: (
        "terminate_session",
        lambda action: {"session": write_session(action.session)},
        lambda record: TerminateSession(read_session(record["session"])),
    ),
    RestartReplica: (
        "restart_replica",
        lambda action: {"replica": write_replica(action.replica)},
        lambda record: RestartReplica(read_replica(record["replica"])),
    ),
    Intent: ("intent", _write_intent, _read_intent),
    Outcome: ("outcome", _write_outcome, _read_outcome),
    Incident: ("incident", _write_incident, _read_incident),
    Lock: ("lock", _write_lock, _read_lock),
    Pause: ("pause", _write_pause, _read_pause),
    ClockMark: ("clock", _write_clock, _read_clock),
}
