"""Whatever is recorded is read back as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from remediator.core.ledger import Incident, Intent, Lock, Outcome, Pause, Phase, Result
from remediator.core.model import Exempt, Health, Replica, ReplicaState, Session, SessionId
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.record import Recordable, from_record, to_record
from remediator.core.times import instant

# Text may hold anything that a container, a driver or a person came up with: NUL, lone surrogates.
text = st.text(st.characters(codec=None, exclude_categories=()))
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001  bounds have no zone, `timezones` gives it
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=offsets | st.just(UTC),
)
numbers = st.integers(0, 2**53)

sessions = st.builds(
    Session,
    id=st.builds(SessionId, numbers, times),
    user=st.none() | text,
    database=st.none() | text,
    application=text,
    address=st.none() | text,
    backend_type=st.none() | text,
    state=st.none() | text,
    state_change=st.none() | times,
    idle_for=st.floats(allow_nan=False, allow_infinity=False),
    in_transaction=st.booleans(),
    superuser=st.booleans(),
    own=st.booleans(),
    advisory_lock=st.booleans(),
    listening=st.booleans(),
    hidden=st.booleans(),
    unused=st.booleans(),
)
replicas = st.builds(
    Replica,
    service=text,
    id=text,
    name=text,
    state=st.sampled_from(ReplicaState),
    started=text,
    restarts=numbers,
    health=st.sampled_from(Health),
    stop_timeout=st.timedeltas(timedelta(0), timedelta(days=3650)),
    addresses=st.frozensets(text),
    exempt=st.none() | st.sampled_from(Exempt),
    started_at=st.none() | times,
    error=text,
)
terminations = st.builds(TerminateSession, sessions)
restarts = st.builds(RestartReplica, replicas)
intents = st.builds(
    Intent,
    incident=text,
    database=text,
    round=numbers,
    step=numbers,
    action=terminations | restarts,
    because=text,
    at=times,
)
outcomes = st.builds(Outcome, st.sampled_from(Result), times, text)
incidents = st.builds(
    Incident,
    id=text,
    database=text,
    opened_at=times,
    because=text,
    phase=st.sampled_from(Phase),
    round=numbers,
    step=numbers,
    not_before=st.none() | times,
    failed_rounds=numbers,
    used=st.none() | numbers,
    usable=st.none() | numbers,
    relieved_at=st.none() | times,
    closed_at=st.none() | times,
    ladder=text,
    locked_after=numbers,
)
locks = st.builds(Lock, text, times, text)
pauses = st.builds(Pause, times, st.none() | times, text)


@given(terminations | restarts | intents | outcomes | incidents | locks | pauses)
def test_every_value_survives_the_way_through_json(value: Recordable) -> None:
    """Nothing is lost, whatever the value."""
    through = json.loads(json.dumps(to_record(value), allow_nan=False))
    assert from_record(through, type(value)) == value


@given(times, times)
def test_written_times_sort_as_the_times_do(one: datetime, other: datetime) -> None:
    """The store compares times as text."""
    assert (instant(one) < instant(other)) == (one < other)
