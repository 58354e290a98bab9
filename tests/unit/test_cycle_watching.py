"""What is said while nothing can be known or done: once, louder when it lasts, again from time to time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.core.assess import Watch, assess
from remediator.core.events import Event, Severity
from remediator.core.ledger import Lock, Pause
from remediator.core.maintenance import Recurrence
from remediator.core.model import Mode
from remediator.core.plan import Objection, Plan
from remediator.core.policy import Spare
from remediator.core.trouble import Trouble, TroubleKind
from remediator.cycle.telling import REMIND_EVERY, Teller
from tests.builders import make_policy, make_sample, moment
from tests.unit.cycle_world import PACE, RESTART, TERMINATE, Told, World

TURNS_PER_REMINDER = int(REMIND_EVERY.total_seconds() / PACE)
TROUBLE = Trouble(TroubleKind.UNREACHABLE, "no route")


async def test_evidence_that_stays_unknown_is_said_louder_and_again() -> None:
    """After five checks at the normal pace, then every half hour; how long it has lasted, and at its end."""
    world = World()
    patience = world.policy.patience.total_seconds()
    assert patience == 5 * PACE
    world.database.trouble = TROUBLE
    await world.turns(5)
    assert world.told.names() == ["evidence_lost"]
    await world.turn()
    assert world.told.names() == ["evidence_lost", "evidence_overdue"]
    (overdue,) = world.told.of(Event.EVIDENCE_OVERDUE)
    assert overdue["seconds"] == patience
    assert "no route" in overdue["because"]
    await world.turns(TURNS_PER_REMINDER - 1)
    assert len(world.told.of(Event.EVIDENCE_OVERDUE)) == 1
    await world.turns(TURNS_PER_REMINDER + 1)
    seconds = [line["seconds"] for line in world.told.of(Event.EVIDENCE_OVERDUE)]
    assert seconds == [patience + n * REMIND_EVERY.total_seconds() for n in range(3)]
    world.database.trouble = None
    await world.turn()
    assert world.told.names() == ["evidence_lost", *["evidence_overdue"] * 3, "evidence_regained"]
    lasted = patience + PACE + 2 * REMIND_EVERY.total_seconds()
    assert world.told.of(Event.EVIDENCE_REGAINED)[0]["seconds"] == lasted


def test_that_addresses_tell_no_owners_is_said_once_and_when_they_do_again() -> None:
    """A sample that tells nothing at all changes nothing about it."""
    told, policy = Told(), make_policy()
    teller = Teller(told, "shop", Mode.ENFORCE)
    reasons = ("", "silent", None, "still silent", "", "")
    for turn, untold in enumerate(reasons):
        sample = make_sample(used=None if untold is None else 10, at=moment(turn * 10.0))
        teller.assessment(assess(policy, Watch(), replace(sample, untold=untold or "")), policy.patience)
    (lost,), (regained,) = told.of(Event.DIRECTORY_LOST), told.of(Event.DIRECTORY_REGAINED)
    assert (lost["because"], regained["seconds"]) == ("silent", 30.0)


async def test_each_stretch_of_unknown_evidence_begins_anew() -> None:
    """A server that is away for a moment now and then is not overdue."""
    world = World()
    for _ in range(4):
        world.database.trouble = TROUBLE
        await world.turns(4)
        world.database.trouble = None
        await world.turn()
    assert not world.told.of(Event.EVIDENCE_OVERDUE)
    assert [line["seconds"] for line in world.told.of(Event.EVIDENCE_REGAINED)] == [4 * PACE] * 4


async def test_a_hold_for_want_of_means_is_said_again_from_time_to_time() -> None:
    """Not with every cycle; each time with how long it has lasted."""
    world = World(make_policy(steps=(TERMINATE,), spare=Spare(applications=("etl",))))
    world.fill(application="etl")
    await world.told_of(Event.INCIDENT_HELD)
    await world.turns(TURNS_PER_REMINDER - 1)
    assert len(world.told.of(Event.INCIDENT_HELD)) == 1
    await world.turns(2 * TURNS_PER_REMINDER)
    seconds = [line["seconds"] for line in world.told.of(Event.INCIDENT_HELD)]
    assert seconds == [0, REMIND_EVERY.total_seconds(), 2 * REMIND_EVERY.total_seconds()]
    assert world.told.names().count("incident_opened") == 1


async def test_a_hold_that_people_ordered_is_no_alarm() -> None:
    """A pause, and maintenance; when it ends and nothing can be done still, that is one."""
    world = World(make_policy(steps=()))
    world.fill()
    await world.store.pause(Pause(world.clock.now().at, None, "I am on it"))
    await world.told_of(Event.INCIDENT_SUSPENDED)
    (suspended,) = world.told.of(Event.INCIDENT_SUSPENDED)
    assert Event.INCIDENT_SUSPENDED.severity is Severity.WARNING
    assert "I am on it" in suspended["because"]
    await world.turns(TURNS_PER_REMINDER + 1)
    assert len(world.told.of(Event.INCIDENT_SUSPENDED)) == 2
    assert not world.told.of(Event.INCIDENT_HELD)
    await world.store.resume()
    await world.turn()
    (held,) = world.told.of(Event.INCIDENT_HELD)
    assert held["seconds"] == 0


async def test_a_lock_is_an_alarm_also_in_a_pause() -> None:
    """It would be held without the order too."""
    world = World()
    world.fill()
    await world.store.pause(Pause(world.clock.now().at, None, ""))
    await world.store.lock(Lock("database:shop", world.clock.now().at, "3 rounds without relief"))
    await world.told_of(Event.INCIDENT_HELD)
    assert not world.told.of(Event.INCIDENT_SUSPENDED)


async def test_waiting_that_never_ends_is_an_alarm_too() -> None:
    """Somebody starts the service anew every few seconds, so that its turn never comes."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})

    def started_again() -> None:
        world.runtimes["celery"].change("celery-1", started_at=world.clock.now().at)

    world.meanwhile = started_again
    world.fill()
    await world.turns(TURNS_PER_REMINDER)
    assert not world.told.of(Event.INCIDENT_HELD)
    await world.turns(5)
    (held,) = world.told.of(Event.INCIDENT_HELD)
    assert "started moments ago" in held["because"]
    assert held["seconds"] == REMIND_EVERY.total_seconds()
    assert not world.restarted


async def test_a_lock_is_no_alarm_once_it_is_relieved() -> None:
    """Nothing is held then, whoever brought relief."""
    world = World()
    world.fill()
    await world.store.lock(Lock("database:shop", world.clock.now().at, "3 rounds without relief"))
    await world.told_of(Event.INCIDENT_HELD)
    for session in list(world.database._sessions.values()):  # noqa: SLF001  the fake's own list
        world.database.leave(session)
    world.fill(to=60, age=timedelta(0))
    await world.told_of(Event.INCIDENT_CLOSED)
    assert len(world.told.of(Event.INCIDENT_HELD)) == 1


async def test_maintenance_is_said_when_it_begins_and_when_it_is_over() -> None:
    """Also while nothing is the matter."""
    world = World(replace(make_policy(), maintenance=(Recurrence("30 * * * *", timedelta(minutes=5)),)))
    await world.turns(int(7200 / PACE))
    assert world.told.names() == ["maintenance_begun", "maintenance_over"] * 2
    untils = [line["until"][14:19] for line in world.told.of(Event.MAINTENANCE_BEGUN)]
    assert untils == ["35:00", "35:00"]


@pytest.mark.parametrize(
    ("objections", "held", "ordered"),
    [
        ((Objection.PAUSED,), True, True),
        ((Objection.MAINTENANCE, Objection.PAUSED), True, True),
        ((Objection.MAINTENANCE, Objection.SETTLING), True, True),
        ((Objection.PAUSED, Objection.LOCKED), True, False),
        ((Objection.STANDBY,), True, False),
        ((Objection.WAITING,), False, False),
        ((Objection.JUST_STARTED,), False, False),
        ((), False, False),
    ],
)
def test_what_is_ordered(objections: tuple[Objection, ...], held: bool, ordered: bool) -> None:
    """Nothing else may stand in the way, apart from what passes by itself."""
    plan = Plan(objections=objections)
    assert (plan.held, plan.ordered) == (held, ordered)
