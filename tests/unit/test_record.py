"""Records keep every field, under keys and words that do not change."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from remediator.core.clock import ClockMark
from remediator.core.ledger import Incident, Intent, Lock, Outcome, Pause, Result
from remediator.core.model import Exempt, Health, Replica, ReplicaState, Session, SessionId
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.record import SCHEMA, from_record, to_record
from remediator.core.times import instant

AT = datetime(2031, 5, 4, 3, 2, 1, 987_654, tzinfo=UTC)

SESSION = Session(
    id=SessionId(4711, AT),
    user="shop",
    database="shop",
    application="celery",
    address="172.18.0.5",
    backend_type="client backend",
    state="idle",
    state_change=AT,
    idle_for=1234.5,
)
REPLICA = Replica(
    service="api",
    id="c0ffee",
    name="shop-api-1",
    state=ReplicaState.RUNNING,
    started="2031-05-04T03:00:00.123456789Z",
    restarts=3,
    health=Health.HEALTHY,
    stop_timeout=timedelta(seconds=42.5),
    addresses=frozenset({"10.0.0.3", "10.0.0.2"}),
    exempt=Exempt.ONE_OFF,
    started_at=AT,
    error="no such file",
)


def test_the_record_of_an_intent_is_what_later_versions_must_still_read() -> None:
    """Keys and words of a record are a promise to later versions and to programs that read the output."""
    intent = Intent("i1", "shop", 2, 0, TerminateSession(SESSION), "oldest first", AT)
    assert to_record(intent) == {
        "schema": 1,
        "kind": "intent",
        "incident": "i1",
        "database": "shop",
        "round": 2,
        "step": 0,
        "action": {
            "schema": 1,
            "kind": "terminate_session",
            "session": {
                "pid": 4711,
                "backend_start": "2031-05-04T03:02:01.987654+00:00",
                "user": "shop",
                "database": "shop",
                "application": "celery",
                "address": "172.18.0.5",
                "backend_type": "client backend",
                "state": "idle",
                "state_change": "2031-05-04T03:02:01.987654+00:00",
                "idle_for": 1234.5,
                "in_transaction": False,
                "superuser": False,
                "own": False,
                "advisory_lock": False,
                "listening": False,
                "hidden": False,
                "unused": False,
                "owner": {"kind": "unattributed", "name": ""},
            },
        },
        "because": "oldest first",
        "at": "2031-05-04T03:02:01.987654+00:00",
    }


def test_the_record_of_a_restart_holds_what_verifying_it_after_a_crash_needs() -> None:
    """The id, the start token and the stop timeout say whether a restart took place."""
    record = to_record(RestartReplica(REPLICA))
    assert record == {
        "schema": 1,
        "kind": "restart_replica",
        "replica": {
            "service": "api",
            "id": "c0ffee",
            "name": "shop-api-1",
            "state": "running",
            "started": "2031-05-04T03:00:00.123456789Z",
            "restarts": 3,
            "health": "healthy",
            "stop_timeout": 42.5,
            "addresses": ["10.0.0.2", "10.0.0.3"],
            "exempt": "one_off",
            "started_at": "2031-05-04T03:02:01.987654+00:00",
            "error": "no such file",
        },
    }


def test_a_replica_recorded_before_its_start_was_known_as_a_time_is_still_read() -> None:
    """A daemon that is updated in the middle of a restart verifies it by what it finds."""
    record = to_record(RestartReplica(REPLICA))
    del record["replica"]["started_at"], record["replica"]["error"]
    assert from_record(record, RestartReplica) == RestartReplica(replace(REPLICA, started_at=None, error=""))


@pytest.mark.parametrize(
    ("value", "elsewhere"),
    [
        (TerminateSession(SESSION), {"id": {"pid", "backend_start"}}),
        (RestartReplica(REPLICA), {}),
        (Intent("i1", "shop", 1, 0, RestartReplica(REPLICA), "because", AT, "77/1", AT), {}),
        (Outcome(Result.CONFIRMED, AT, "gone"), {}),
        (Incident("i1", "shop", AT), {}),
        (Lock("service:api", AT, "did not come back"), {}),
        (Pause(AT, None, "deploy"), {}),
        (ClockMark("a boot", 12.5, AT, AT), {}),
    ],
)
def test_no_field_is_left_out(
    value: TerminateSession | RestartReplica | Intent | Outcome | Incident | Lock | Pause,
    elsewhere: dict[str, set[str]],
) -> None:
    """A field added to a value must be added to its record."""
    record = to_record(value)
    subject: object = value
    if isinstance(value, TerminateSession):
        record, subject = record["session"], value.session
    elif isinstance(value, RestartReplica):
        record, subject = record["replica"], value.replica
    expected = {field.name for field in fields(subject)}  # type: ignore[arg-type]
    for name, keys in elsewhere.items():
        expected = expected - {name} | keys
    assert set(record) - {"schema", "kind"} == expected


def test_a_time_of_any_zone_is_the_same_instant_in_utc() -> None:
    """Offsets are folded into UTC."""
    there = datetime(2031, 5, 4, 5, 2, 1, 987_654, tzinfo=timezone(timedelta(hours=2)))
    assert instant(there) == instant(AT) == "2031-05-04T03:02:01.987654+00:00"


def test_a_whole_second_is_written_with_its_microseconds_so_that_texts_sort_as_times() -> None:
    """`.000000` is not left out."""
    whole = AT.replace(microsecond=0)
    assert instant(whole) == "2031-05-04T03:02:01.000000+00:00" < instant(AT)


def test_a_time_without_a_zone_is_refused() -> None:
    """Nobody could say when it was."""
    with pytest.raises(ValueError, match="without a time zone"):
        to_record(Pause(AT.replace(tzinfo=None), None))
    record = to_record(Pause(AT, None)) | {"since": "2031-05-04T03:02:01"}
    with pytest.raises(ValueError, match="without a time zone"):
        from_record(record, Pause)


def test_keys_nobody_knows_are_ignored() -> None:
    """A later version may add keys within the same schema."""
    lock = Lock("database:shop", AT, "three rounds without relief")
    assert from_record(to_record(lock) | {"colour": "red"}, Lock) == lock


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": SCHEMA + 1}, "schema 2"),
        ({"kind": "pause"}, "kind 'pause', expected 'outcome'"),
        ({"result": "exploded"}, "exploded"),
        ({"at": "yesterday"}, "yesterday"),
        ({"at": None}, "not a record of Outcome"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(change: dict[str, object], complaint: str) -> None:
    """A record that means something else is never guessed at."""
    record = to_record(Outcome(Result.CONFIRMED, AT)) | change
    with pytest.raises(ValueError, match=complaint):
        from_record(record, Outcome)


def test_a_record_with_a_part_missing_is_refused() -> None:
    """The message names the part."""
    for key in ("schema", "kind", "result", "at", "detail"):
        record = to_record(Outcome(Result.CONFIRMED, AT))
        del record[key]
        with pytest.raises(ValueError, match=key):
            from_record(record, Outcome)


def test_an_unknown_action_is_refused() -> None:
    """An action that this version does not know cannot be verified by it."""
    record = to_record(Intent("i1", "shop", 1, 0, TerminateSession(SESSION), "", AT))
    record["action"]["kind"] = "drop_database"
    with pytest.raises(ValueError, match="drop_database"):
        from_record(json.loads(json.dumps(record)), Intent)
