"""Budgets hold over any history: two databases that share services, crashes, clocks that jump."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from remediator.core import incident as incidents
from remediator.core.decide import Situation, decide
from remediator.core.ledger import Entry, Incident, Ledger, Lock, Occasion, Outcome, Result
from remediator.core.model import Moment, Session
from remediator.core.plan import RestartReplica, StepPlan, Survey, TerminateSession
from remediator.core.policy import Backoff, Rate, RestartService, TerminateIdle, When
from tests.builders import (
    START,
    TEN_MINUTES,
    make_entry,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_session,
)

DATABASES = ("shop", "blog")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BACKOFF = Backoff(timedelta(minutes=30), timedelta(hours=2))
POLICY = make_policy(
    steps=(
        TerminateIdle(TEN_MINUTES),
        RestartService("celery"),
        RestartService("api"),
        RestartService("web", When.ALWAYS),
    ),
    per_step=15,
    terminate=(Rate(20, HOUR), Rate(50, DAY)),
    restart_per_service=(Rate(1, timedelta(minutes=30)), Rate(3, DAY)),
    restart=(Rate(2, HOUR), Rate(4, DAY)),
    backoff=BACKOFF,
    retry=timedelta(minutes=1),
)
SERVICES = {
    name: tuple(make_replica(service=name, number=number) for number in range(1, replicas + 1))
    for name, replicas in (("celery", 3), ("api", 2), ("web", 1))
}
seconds = st.sampled_from([1, 20, 61, 601, 1801, 3601, 86_401]) | st.integers(1, 7200)


class Budgets(RuleBasedStateMachine):
    """Does with the core what the daemon does, with a world that is as unhelpful as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.entries: dict[int, Entry] = {}
        self.incidents: dict[str, Incident] = {}
        self.locks: tuple[Lock, ...] = ()
        self.opened = 0
        self.next_pid = 1

    def ledger(self) -> Ledger:
        """What the store would load."""
        return Ledger(tuple(self.entries.values()), tuple(self.incidents.values()), None, self.locks)

    def fresh_sessions(self, number: int) -> tuple[Session, ...]:
        """Leaks come back at once."""
        self.next_pid += number
        return tuple(make_session(pid=self.next_pid - i, idle_for=700.0 + i) for i in range(number))

    @rule(passed=seconds)
    def time_passes(self, passed: int) -> None:
        """By a little or by a lot."""
        self.now += timedelta(seconds=passed)

    @rule(back=seconds)
    def the_clock_is_set_back(self, back: int) -> None:
        """What was done then is in the future now."""
        self.now -= timedelta(seconds=back)

    @rule(
        database=st.sampled_from(DATABASES),
        used=st.sampled_from([96, 96, 96, 60]),
        number=st.sampled_from([0, 0, 5, 30]),
    )
    def look(self, database: str, used: int, number: int) -> None:
        """One cycle of a database."""
        self.look_at(database, used, number)

    def look_at(self, database: str, used: int, number: int) -> None:
        """Decide, and record what is due."""
        incident = self.incidents.get(database)
        if incident is None:
            self.opened += 1
            incident = make_incident(id=f"i{self.opened}", database=database, opened_at=self.now)
        incident = incidents.bounded(incident, POLICY.remediate, self.now)
        plan = decide(
            Situation(
                database=database,
                policy=POLICY,
                sample=make_sample(used=used, at=Moment(self.now, 0.0)),
                incident=incident,
                ledger=self.ledger(),
                survey=Survey(self.fresh_sessions(number), dict(SERVICES)),
            )
        )
        if plan.relapsed or plan.renews:
            incident = incidents.relapse(incident, new_round=plan.renews)
        if plan.next_step is not None:
            self.incidents[database] = self.carry_out(incident, plan.next_step)
        elif plan.relieved:
            self.incidents[database] = incidents.relieve(incident, self.now)
        elif plan.exhausted:
            self.incidents[database] = incidents.exhaust(incident, self.ledger(), POLICY.remediate, self.now)
        else:
            assert plan.objections
            self.incidents[database] = incident

    @rule(
        database=st.sampled_from(DATABASES),
        cycles=st.integers(2, 12),
        pause=st.sampled_from([16, 61, 600]),
        result=st.sampled_from(
            [Result.CONFIRMED] * 3 + [Result.DENIED, Result.CHANGED, Result.DROPPED, Result.UNKNOWN]
        ),
    )
    def climb_far(self, database: str, cycles: int, pause: int, result: Result) -> None:
        """Many cycles in which nothing helps, each action concluded before the next look."""
        for _ in range(cycles):
            self.conclude([e.id for e in self.ledger().open_entries(database)], result)
            self.now += timedelta(seconds=pause)
            self.look_at(database, 96, 0)

    def carry_out(self, incident: Incident, step: StepPlan) -> Incident:
        """Record intents; their outcomes come later, or never if we crash."""
        assert not self.ledger().open_entries(incident.database)
        for act in incidents.due(step):
            number = len(self.entries) + 1
            self.entries[number] = make_entry(
                id=number,
                action=act.action,
                incident=incident.id,
                database=incident.database,
                round=incident.round,
                step=step.index,
                at=self.now,
            )
        return incidents.climb(incident, step)

    @precondition(lambda self: any(entry.outcome is None for entry in self.entries.values()))
    @rule(
        data=st.data(),
        result=st.sampled_from([Result.CONFIRMED] * 4 + list(Result)),
        everything=st.booleans(),
    )
    def outcomes_come_in(self, data: st.DataObject, result: Result, everything: bool) -> None:
        """In any order, some of them or all."""
        open_ones = sorted(number for number, entry in self.entries.items() if entry.outcome is None)
        chosen = open_ones if everything else data.draw(st.lists(st.sampled_from(open_ones), unique=True))
        self.conclude(chosen, result)

    def conclude(self, numbers: list[int], result: Result) -> None:
        """Record outcomes, and let what was done settle."""
        for number in numbers:
            entry = replace(self.entries[number], outcome=Outcome(result, self.now))
            self.entries[number] = entry
            incident = self.incidents.get(entry.intent.database)
            if incident is not None and incident.id == entry.intent.incident:
                settled = incidents.settle(incident, [entry], POLICY.remediate, self.now)
                self.incidents[entry.intent.database] = settled

    @rule(database=st.sampled_from(DATABASES))
    def an_incident_closes(self, database: str) -> None:
        """Another one may follow at once."""
        self.incidents.pop(database, None)

    @rule(service=st.sampled_from(sorted(SERVICES)), locked=st.booleans())
    def a_service_is_locked_or_acknowledged(self, service: str, locked: bool) -> None:
        """By a failure and by a person."""
        self.locks = (Lock(f"service:{service}", self.now, "it exited"),) if locked else ()

    def charged(self, kind: type) -> list[Entry]:
        """Entries that were perhaps carried out."""
        harmless = {Result.CHANGED, Result.DROPPED, Result.DENIED}
        return [
            entry
            for entry in self.entries.values()
            if isinstance(entry.intent.action, kind)
            and (entry.outcome is None or entry.outcome.result not in harmless)
        ]

    @invariant()
    def terminations_in_any_window_are_within_the_limit(self) -> None:
        """Per database, wherever the window begins."""
        for database in DATABASES:
            times = [e.intent.at for e in self.charged(TerminateSession) if e.intent.database == database]
            for end in set(times):
                assert sum(1 for at in times if end - HOUR < at <= end) <= 20
                assert sum(1 for at in times if end - DAY < at <= end) <= 50

    @invariant()
    def no_step_terminates_more_than_its_limit(self) -> None:
        """However often it is looked at."""
        steps = [(e.intent.incident, e.intent.round) for e in self.charged(TerminateSession)]
        assert all(steps.count(one) <= 15 for one in set(steps))

    @invariant()
    def restarts_of_a_service_in_any_window_are_within_the_limit(self) -> None:
        """Whoever asked for them."""
        for service in SERVICES:
            entries = [
                e
                for e in self.charged(RestartReplica)
                if isinstance(e.intent.action, RestartReplica) and e.intent.action.replica.service == service
            ]
            assert _most_in_a_window(entries, timedelta(minutes=30)) <= 1
            assert _most_in_a_window(entries, DAY) <= 3

    @invariant()
    def restarts_of_a_database_in_any_window_are_within_the_limit(self) -> None:
        """Of all services together."""
        for database in DATABASES:
            entries = [e for e in self.charged(RestartReplica) if e.intent.database == database]
            assert _most_in_a_window(entries, HOUR) <= 2
            assert _most_in_a_window(entries, DAY) <= 4

    @invariant()
    def a_third_restart_of_a_service_within_a_day_waits_for_longer(self) -> None:
        """30 minutes after one, an hour after two."""
        for service in SERVICES:
            first: dict[Occasion, datetime] = {}
            last: dict[Occasion, datetime] = {}
            for entry in self.charged(RestartReplica):
                occasion, at = Occasion.of(entry.intent), entry.intent.at
                if occasion.service == service:
                    first[occasion] = min(at, first.get(occasion, at))
                    last[occasion] = max(at, last.get(occasion, at))
            for occasion, at in first.items():
                earlier = [end for other, end in last.items() if other != occasion and at - DAY < end <= at]
                if len(earlier) == 2:
                    assert at - max(earlier) >= HOUR

    @invariant()
    def no_service_has_two_replicas_in_restart(self) -> None:
        """The next only when the last has its outcome."""
        for service in SERVICES:
            flying = [
                e
                for e in self.entries.values()
                if e.outcome is None
                and isinstance(e.intent.action, RestartReplica)
                and e.intent.action.replica.service == service
            ]
            assert len(flying) <= 1

    @invariant()
    def no_replica_is_restarted_twice_in_a_round(self) -> None:
        """A crash repeats nothing."""
        seen = [
            (e.intent.incident, e.intent.round, e.intent.step, e.intent.action.replica.name)
            for e in self.entries.values()
            if isinstance(e.intent.action, RestartReplica) and not e.dropped
        ]
        assert len(seen) == len(set(seen))


def _most_in_a_window(entries: list[Entry], per: timedelta) -> int:
    times = [(entry.intent.at, Occasion.of(entry.intent)) for entry in entries]
    ends: set[datetime] = {at for at, _ in times}
    return max((len({who for at, who in times if end - per < at <= end}) for end in ends), default=0)


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
