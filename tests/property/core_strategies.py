"""Databases, policies and histories as nobody would think of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from remediator.core.decide import Situation
from remediator.core.ledger import Entry, Incident, Ledger, Phase, Result
from remediator.core.model import (
    Exempt,
    Level,
    Probe,
    ProbeResult,
    Replica,
    ReplicaState,
    Sample,
    Session,
    SessionGroup,
)
from remediator.core.plan import RestartReplica, Survey, TerminateSession
from remediator.core.policy import (
    Backoff,
    Conditions,
    IdleCount,
    LevelRule,
    Policy,
    Rate,
    RestartService,
    Spare,
    Step,
    TerminateIdle,
    When,
)
from tests.builders import (
    ACCEPTED,
    REFUSED,
    make_entry,
    make_group,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_server,
    make_session,
    moment,
)

SERVICES = ("celery", "api")
# A configured percentage has at most four decimals.
ratios = st.integers(10_000, 1_000_000).map(lambda millionths: millionths / 1_000_000)
percentages = st.integers(1, 100).map(lambda whole: whole / 100)
whens = st.sampled_from(When)
probes = st.sampled_from([ACCEPTED, REFUSED, Probe(ProbeResult.UNAVAILABLE, "57P03"), None])

PECULIARITIES: tuple[dict[str, object], ...] = (
    {"user": "migrator"},
    {"user": "batch_1"},
    {"user": ""},
    {"user": None},
    {"application": "pg_dump"},
    {"application": "barman_1"},
    {"application": ""},
    {"backend_type": "walsender"},
    {"backend_type": "autovacuum worker"},
    {"backend_type": None},
    {"state": "active"},
    {"state": "idle in transaction"},
    {"state": "disabled"},
    {"state": None},
    {"state_change": None},
    {"in_transaction": True},
    {"superuser": True},
    {"own": True},
    {"advisory_lock": True},
    {"listening": True},
    {"hidden": True},
)
idle_ages = st.sampled_from([0.0, 59.9, 60.0, 599.9, 600.0, 601.0]) | st.integers(0, 10**7).map(float)


def _session(pid: int, idle_for: float, peculiar: list[dict[str, object]]) -> Session:
    given: dict[str, Any] = {key: value for one in peculiar for key, value in one.items()}
    return make_session(pid=pid, idle_for=idle_for, **given)


pids = st.integers(1, 10_000)
sessions = st.builds(_session, pids, idle_ages, st.lists(st.sampled_from(PECULIARITIES), max_size=3))
idle_sessions = st.builds(_session, pids, st.integers(600, 10**6).map(float), st.just([]))


def unique(of: st.SearchStrategy[Session], most: int = 20) -> st.SearchStrategy[tuple[Session, ...]]:
    """Sessions of one server, which never has two with the same pid."""
    return st.lists(of, max_size=most, unique_by=lambda session: session.id.pid).map(tuple)


ages = st.sampled_from([timedelta(seconds=60), timedelta(minutes=10)])
spares = st.builds(
    Spare,
    users=st.sampled_from([(), ("migrator",), ("batch_*", ""), ("*",)]),
    applications=st.sampled_from([(), ("pg_dump", "barman*"), ("*a*",), ("",)]),
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(TerminateIdle, ages, whens),
    st.builds(RestartService, st.sampled_from(SERVICES), whens),
)
rates = st.builds(
    Rate, st.integers(1, 30), st.sampled_from([timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)])
)
idle_counts = st.none() | st.builds(IdleCount, ages, st.integers(1, 20) | percentages)
levels = st.builds(
    lambda threshold, idle, refusing, unused, resting: {
        Level.CRITICAL: LevelRule(
            Conditions(threshold, idle, refusing, never_used=unused, idle_in_transaction=resting)
        )
    },
    st.sampled_from([0.6, 0.9]),
    idle_counts,
    st.booleans(),
    idle_counts,
    idle_counts,
)
policies = st.builds(
    make_policy,
    levels=levels,
    steps=st.lists(steps, min_size=1, max_size=4),
    until=st.integers(1, 59).map(lambda whole: whole / 100),
    spare=spares,
    per_step=st.lists(percentages | st.integers(1, 30), min_size=1, max_size=2),
    terminate=st.lists(rates, min_size=1, max_size=3),
    backoff=st.none() | st.builds(Backoff, ages, ages),
    restart_per_service=st.builds(Rate, st.integers(1, 2), st.just(timedelta(minutes=30))),
    restart=st.builds(Rate, st.integers(1, 4), st.just(timedelta(days=1))),
)
results = st.none() | st.sampled_from(Result)
replica_sets = st.lists(
    st.builds(
        make_replica,
        number=st.integers(1, 4),
        state=st.sampled_from([ReplicaState.RUNNING] * 5 + list(ReplicaState)),
        exempt=st.sampled_from([None] * 5 + list(Exempt)),
        restarts=st.sampled_from([0, 0, 3]),
        started_at=st.sampled_from([None, moment(-3600).at, moment(-3600).at, moment(-5).at]),
    ),
    max_size=3,
    unique_by=lambda replica: replica.name,
)


def grouped(policy: Policy, present: Sequence[Session]) -> tuple[SessionGroup, ...]:
    """Count sessions as the server would."""
    ages = (0.0, *(cutoff.total_seconds() for cutoff in policy.cutoffs))
    counted = Counter(
        (s.user or "", s.application, s.state or "", max(age for age in ages if age <= s.idle_for))
        for s in present
    )
    return tuple(
        make_group(user=user, application=application, state=state, idle_for_at_least=age, count=count)
        for (user, application, state, age), count in counted.items()
    )


@st.composite
def samples(draw: st.DrawFn, policy: Policy, present: tuple[Session, ...]) -> Sample:
    """A sample that shows these sessions and others that it does not tell apart."""
    if draw(st.sampled_from([False] * 9 + [True])):
        return make_sample(used=None, probe=draw(probes))
    return make_sample(
        used=len(present) + draw(st.integers(0, 20)),
        usable=draw(st.integers(10, 40)),
        groups=grouped(policy, present),
        probe=draw(probes),
        server=make_server(
            in_recovery=draw(st.sampled_from([False] * 9 + [True])),
            can_signal=draw(st.sampled_from([True] * 9 + [False])),
        ),
        at=moment(0),
    )


@st.composite
def histories(draw: st.DrawFn, policy: Policy, incident: Incident, concluded: bool) -> tuple[Entry, ...]:
    """Entries of this incident and of others, up to two days old or from the future."""
    entries = []
    for number in range(draw(st.integers(0, 6))):
        index = draw(st.integers(0, len(policy.remediate.steps) - 1))
        step = policy.remediate.steps[index]
        mine = draw(st.booleans())
        entries.append(
            make_entry(
                id=number,
                action=RestartReplica(
                    make_replica(service=step.service, number=draw(st.integers(1, 4)))
                    if isinstance(step, RestartService)
                    else make_replica(service="web")
                )
                if isinstance(step, RestartService) or draw(st.booleans())
                else TerminateSession(draw(idle_sessions)),
                incident=incident.id if mine else draw(st.sampled_from(["i0", "b1"])),
                database=incident.database if mine else draw(st.sampled_from([incident.database, "blog"])),
                round=draw(st.integers(1, incident.round)),
                step=index,
                at=moment(draw(st.floats(-172_800, 600))).at,
                result=draw(st.sampled_from(Result) if concluded else results),
            )
        )
    return tuple(entries)


@st.composite
def situations(draw: st.DrawFn, *, free: bool = False) -> Situation:
    """Anything that a decision may depend on.

    Args:
        draw: Hypothesis' own.
        free: Nothing stops everything.
    """
    policy = draw(policies)
    present = draw(unique(sessions | idle_sessions))
    incident = make_incident(
        round=draw(st.integers(1, 3)),
        step=draw(st.integers(0, len(policy.remediate.steps))),
        phase=Phase.WORKING if free else draw(st.sampled_from([Phase.WORKING, Phase.RELIEVED, Phase.HELD])),
        not_before=None if free else draw(st.sampled_from([None, None, moment(-1).at, moment(60).at])),
    )
    sample = draw(samples(policy, present))
    if free and sample.server is not None:
        sample = replace(sample, server=make_server())
    services: dict[str, tuple[Replica, ...]] = {
        name: tuple(
            replace(r, service=name, name=f"shop-{name}-{n}")
            for n, r in enumerate(draw(replica_sets), start=1)
        )
        for name in SERVICES
    }
    return Situation(
        database=incident.database,
        policy=policy,
        sample=sample,
        incident=incident,
        ledger=Ledger(draw(histories(policy, incident, concluded=free))),
        survey=Survey(present, dict(services)),
    )
