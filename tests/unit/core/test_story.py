"""What happened, scene by scene, and two stories side by side."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from remediator.core.assess import Watch, assess
from remediator.core.ledger import Entry, Incident, Lock, Phase, Result
from remediator.core.model import Level, Mode
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import Objection, Plan, RestartReplica, StepPlan, TerminateSession
from remediator.core.policy import RestartService
from remediator.core.reading import Reading, reading_of
from remediator.core.scene import Kind
from remediator.core.story import side_by_side, story
from remediator.core.turn import Orders, Turn
from tests.builders import (
    DATABASE,
    START,
    make_entry,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_session,
    moment,
)

POLICY = make_policy()


def reading(
    seconds: float,
    *,
    level: Level = Level.NORMAL,
    incident: Incident | None = None,
    plan: Plan | None = None,
    locks: tuple[Lock, ...] = (),
) -> Reading:
    """A reading this long after the beginning."""
    assessment = assess(POLICY, Watch(), make_sample(at=moment(seconds)))
    turn = Turn(replace(assessment, level=level), plan, incident, orders=Orders(None, locks))
    return reading_of(DATABASE, POLICY, "one", turn, Mode.ENFORCE, "run")


def terminations(seconds: float, *owners: str, result: Result = Result.CONFIRMED) -> list[Entry]:
    """Entries of sessions of these services."""
    return [
        make_entry(
            id=pid,
            at=START + timedelta(seconds=seconds),
            result=result,
            action=TerminateSession(replace(make_session(pid=pid), owner=Owner(OwnerKind.SERVICE, owner))),
        )
        for pid, owner in enumerate(owners, 1)
    ]


def test_an_incident_from_its_beginning_to_its_end() -> None:
    """Seen, opened, acted, relieved, closed; in the order in which it happened."""
    open_, relieved = make_incident(), make_incident(phase=Phase.RELIEVED)
    readings = [
        reading(0),
        reading(5, level=Level.CRITICAL, incident=open_),
        reading(10, level=Level.CRITICAL, incident=relieved),
        reading(15),
    ]
    entries = [*terminations(5, "api", "celery", "api"), make_entry(id=9, at=START - timedelta(days=1))]
    told = [(int((s.at - START).total_seconds()), s.kind, s.text) for s in story(readings, entries)]
    assert told == [
        (5, Kind.LEVEL, "level critical, was normal"),
        (5, Kind.OPENED, "incident opened"),
        (5, Kind.ACTED, "terminate 3 sessions (api 2, celery 1)"),
        (10, Kind.RELIEVED, "relieved"),
        (15, Kind.LEVEL, "level normal, was critical"),
        (15, Kind.CLOSED, "incident closed"),
    ]


def test_a_hold_is_told_once_and_a_lock_when_it_comes() -> None:
    """As long as the reasons stay the same."""
    incident = make_incident()
    paused, waiting = Plan(objections=(Objection.PAUSED,)), Plan(objections=(Objection.SETTLING,))
    lock = Lock("service:api", START, "failed")
    plans = (None, paused, paused, waiting, Plan(objections=(Objection.LOCKED,)))
    readings = [reading(n, incident=incident, plan=plan) for n, plan in enumerate(plans)]
    readings.append(reading(9, incident=incident, plan=plans[-1], locks=(lock,)))
    told = [s.text for s in story(readings, ()) if s.kind in (Kind.HELD, Kind.LOCKED)]
    assert told == [
        f"held: {Objection.PAUSED.meaning}",
        f"held: {Objection.LOCKED.meaning}",
        "locked: service:api",
    ]


def test_a_hold_names_who_holds_the_slots() -> None:
    """Of a ladder that has nothing to do, each step says why."""
    innocent = StepPlan(
        0, RestartService("api"), objections=(Objection.NOT_CULPRIT,), detail="held by celery"
    )
    plan = Plan(steps=(innocent,), exhausted=True, detail="a dry run cannot see it")
    readings = [reading(n, incident=make_incident(), plan=plan) for n in range(2)]
    (held,) = (scene for scene in story(readings, ()) if scene.kind is Kind.HELD)
    assert held.text == f"held: {Objection.NOT_CULPRIT.meaning}"
    assert held.because == "held by celery; a dry run cannot see it"


def test_the_same_decisions_are_the_same_whatever_came_of_them() -> None:
    """Results are the world's."""
    readings = [reading(0), reading(5)]
    then = story(readings, terminations(5, "api", result=Result.CONFIRMED))
    now = story(readings, terminations(5, "api", result=Result.SIMULATED))
    (row,) = side_by_side(then, now)
    assert (row.same, row.decided_alike) == (True, True)
    assert row.then[0].results != row.now[0].results


def test_levels_alone_decide_nothing() -> None:
    """They are shown, and do not count."""
    then = story([reading(0), reading(5)], ())
    now = story([reading(0), reading(5, level=Level.ALERT)], ())
    (row,) = side_by_side(then, now)
    assert (row.same, row.decided_alike) == (False, True)


def test_other_targets_are_another_decision() -> None:
    """As are acts that only one side has."""
    readings = [reading(0), reading(5)]
    restart = make_entry(at=START + timedelta(seconds=5), action=RestartReplica(make_replica()))
    other = replace(restart, intent=replace(restart.intent, action=RestartReplica(make_replica(number=2))))
    for left, right in (([restart], [other]), ([restart], [])):
        (row,) = side_by_side(story(readings, left), story(readings, right))
        assert not row.decided_alike
