"""What the cycle does when something it relies on fails: nothing, loudly, until it is back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from remediator.core.events import Event
from remediator.core.ledger import Lock, Pause, database_scope
from remediator.core.model import (
    Evidence,
    Level,
    Replica,
    ReplicaState,
)
from remediator.core.plan import Objection
from remediator.core.policy import Rate
from remediator.core.trouble import Trouble, TroubleKind
from remediator.cycle import surveying
from remediator.errors import LedgerError
from tests.builders import make_policy
from tests.unit.cycle_world import FULL, HALF, PACE, RESTART, SETTLE, TERMINATE, World

UNREACHABLE = Trouble(TroubleKind.UNREACHABLE, "connection refused")


@pytest.mark.parametrize("kind", [k for k in TroubleKind if k is not TroubleKind.FULL])
async def test_a_database_that_cannot_be_read_is_left_alone(kind: TroubleKind) -> None:
    """Down is not full: nothing is opened, terminated or restarted, and it is said once, with the reason."""
    world = World()
    world.fill()
    world.database.trouble = Trouble(kind, "for a reason")
    turn = await world.turns(50)
    assert turn.assessment.unknown
    assert not world.store.incidents
    assert not world.restarted
    assert world.told.names() == ["evidence_lost", "evidence_overdue"]
    assert "for a reason" in world.told.of(Event.EVIDENCE_LOST)[0]["because"]
    world.database.trouble = None
    await world.turn()
    assert "evidence_regained" in world.told.names()


async def test_evidence_lost_in_the_middle_of_an_incident_stops_the_ladder() -> None:
    """Nothing is done and nothing is closed while the state is not known; then it goes on where it was."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.fill()
    world.meanwhile = world.leak
    await world.told_of(Event.STEP_SETTLING)
    world.meanwhile = lambda: None
    world.database.trouble = UNREACHABLE
    turn = await world.turns(200)
    assert turn.plan is not None
    assert Objection.UNKNOWN_EVIDENCE in turn.plan.objections
    assert turn.assessment.level is Level.CRITICAL
    assert not world.restarted
    world.database.trouble = None
    world.meanwhile = world.leak
    await world.turns_until(lambda _: bool(world.restarted))
    assert world.told.names().count("incident_opened") == 1


async def test_terminations_do_not_wait_for_a_hung_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its step's turn is not lost by that: it is waited for when it comes."""
    monkeypatch.setattr(surveying, "_PROMPT", timedelta(0))
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    answer = asyncio.Event()
    runtime = world.runtimes["celery"]
    replicas = await runtime.replicas()

    async def hung() -> tuple[Replica, ...]:
        await answer.wait()
        return replicas

    monkeypatch.setattr(runtime, "replicas", hung)
    world.fill()
    async with asyncio.timeout(10):
        await world.turns_until(lambda _: world.used() < FULL)
    steps = world.told.of(Event.PLAN_MADE)[0]["steps"]
    assert [step["objections"] for step in steps] == [[], ["unreadable"]]
    assert not world.restarted
    world.meanwhile = world.leak
    asyncio.get_running_loop().call_later(0, answer.set)
    async with asyncio.timeout(10):
        await world.turns_until(lambda _: bool(world.restarted))


async def test_without_the_right_to_read_nothing_is_ever_done() -> None:
    """Rows that hide their state are not health, and not a reason to act."""
    world = World()
    world.fill()
    world.database.readable = False
    turn = await world.turns(20)
    assert turn.assessment.evidence[Level.CRITICAL] in {Evidence.UNKNOWN, Evidence.BREACH}
    assert not world.database.signals
    assert world.told.names().count("evidence_lost") == 1


async def test_a_server_that_refuses_us_too_still_gets_its_services_restarted() -> None:
    """A refusal for want of slots is evidence; sessions cannot be read then, services can be restarted."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.database.trouble = Trouble(TroubleKind.FULL, "sorry, too many clients already")
    await world.turns_until(lambda _: bool(world.restarted))
    assert world.told.of(Event.INCIDENT_OPENED)[0]["used"] is None
    steps = world.told.of(Event.PLAN_MADE)[0]["steps"]
    assert steps[0]["objections"] == ["unreadable"]
    world.database.trouble = None
    await world.told_of(Event.INCIDENT_CLOSED)


async def test_a_standby_is_left_alone() -> None:
    """Nothing may be changed on it."""
    world = World()
    world.database.in_recovery = True
    world.fill()
    turn = await world.turns(20)
    assert turn.plan is not None
    assert Objection.STANDBY in turn.plan.objections
    assert not world.database.signals


async def test_a_connection_lost_among_terminations() -> None:
    """What was signalled is confirmed by looking, what was not is unconfirmed; nothing is signalled twice."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.database.break_after = 10
    world.fill()
    await world.turns_until(lambda t: t.in_flight > 0)
    world.database.trouble = None
    await world.turns_until(lambda t: t.in_flight == 0)
    results = [result for _, result in world.outcomes()]
    assert results.count("confirmed") == 11
    assert set(results) == {"confirmed", "unconfirmed"}
    assert len(world.database.signals) == 11


async def test_a_database_gone_for_good_leaves_unknown_outcomes() -> None:
    """Once it is too late to tell, the entry is closed as unknown rather than kept for ever."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.database.break_after = 0
    world.fill()
    await world.told_of(Event.ACTION_FINISHED)
    assert {result for _, result in world.outcomes()} == {"unknown"}


async def test_an_unavailable_runtime_is_said_and_left() -> None:
    """Its service's step is unreadable, the others have their turn; later it is tried again."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.runtimes["celery"].available = False
    world.fill()
    await world.told_of(Event.INCIDENT_HELD)
    assert "cannot be read" in world.told.of(Event.INCIDENT_HELD)[0]["because"]
    assert not world.entries
    world.runtimes["celery"].available = True
    await world.turns_until(lambda _: bool(world.restarted), within=timedelta(minutes=6))


async def test_a_service_without_replicas_and_one_that_is_not_running() -> None:
    """Neither is an error; the reasons are told."""
    world = World(services={"celery": 1, "api": 1}, policy=make_policy(steps=(RESTART,)))
    world.runtimes["celery"].change("celery-1", state=ReplicaState.PAUSED)
    world.fill()
    await world.told_of(Event.INCIDENT_HELD)
    assert "not running" in world.told.of(Event.INCIDENT_HELD)[0]["because"]
    world.runtimes["celery"].remove("celery-1")
    turn = await world.turn()
    assert turn.plan is not None
    assert turn.plan.steps[0].objections == (Objection.NOT_FOUND,)
    assert not world.restarted


async def test_a_runtime_that_disappears_before_its_restart_is_verified() -> None:
    """The outcome waits for it, and is unknown when it does not come back in time."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.fill()
    await world.turns_until(lambda t: t.in_flight == 1)
    world.runtimes["celery"].available = False
    await world.turns_until(lambda t: t.in_flight == 0)
    assert world.outcomes() == [("celery-1", "unknown")]
    assert world.restarted == ["celery-1"]


async def test_a_broken_ledger_means_observing_only() -> None:
    """Checks go on; nothing is done until it can be written again; then the ladder is climbed.

    Said once, and once more when it is critical, since no incident tells of that.
    """
    world = World()
    world.store.broken = "no space left"
    world.fill()
    turn = await world.turns(20)
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.LEDGER_UNAVAILABLE,)
    assert turn.plan.detail == "no space left"
    said = [(line["level"], line["because"]) for line in world.told.of(Event.LEDGER_UNAVAILABLE)]
    assert said == [("monitor", "no space left"), ("critical", "no space left")]
    assert not world.database.signals
    assert not world.restarted
    assert len(world.told.of(Event.CYCLE)) == 20
    world.store.broken = None
    await world.told_of(Event.INCIDENT_RELIEVED)
    assert world.told.names().count("ledger_available") == 1


async def test_a_broken_ledger_is_found_out_about_in_calm_times() -> None:
    """Not only when it is needed; said again every ten minutes while it lasts, and when it is over."""
    world = World()
    await world.turns(3)
    world.store.broken = "no space left"
    await world.told_of(Event.LEDGER_UNAVAILABLE, within=timedelta(seconds=61))
    assert world.told.of(Event.LEDGER_UNAVAILABLE)[0]["lasted"] == "0s"
    await world.turns(int(20 * 60 / PACE))
    assert [line["lasted"] for line in world.told.of(Event.LEDGER_UNAVAILABLE)] == ["0s", "10m", "20m"]
    world.store.broken = None
    await world.turn()
    assert len(world.told.of(Event.LEDGER_AVAILABLE)) == 1
    await world.turns(60)
    assert len(world.told.of(Event.LEDGER_UNAVAILABLE)) == 3


async def test_a_ledger_that_breaks_at_the_intent_prevents_the_act() -> None:
    """No record, no action."""
    world = World()
    world.fill()

    class Full(type(world.store)):  # type: ignore[misc]
        """Reads, but takes no intents."""

        async def intend(self, *_: object) -> None:
            raise LedgerError("no space left")

    full = Full()
    world.fresh_cycles(full)
    await world.turns(20)
    assert full.incidents
    assert not full.entries
    assert not world.database.signals
    assert world.used() == FULL


async def test_a_ledger_that_breaks_at_the_outcome_repeats_nothing() -> None:
    """The outcome is recorded when it can be; meanwhile nothing else is done."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.fill()
    world.meanwhile = world.leak
    conclude = world.store.conclude

    async def broken(*_: object) -> None:
        raise LedgerError("no space left")

    world.store.conclude = broken  # type: ignore[method-assign, assignment]
    await world.turns(20)
    signals = len(world.database.signals)
    assert signals == len(world.entries) > 0
    assert not world.restarted
    world.store.conclude = conclude  # type: ignore[method-assign]
    await world.turns_until(lambda _: bool(world.restarted))
    assert len(world.database.signals) == signals


async def test_a_lost_fence_stops_everything() -> None:
    """When our lock is no longer ours somebody else may act: we observe."""
    world = World()
    world.fill()

    def lost() -> None:
        raise LedgerError("the lock is gone")

    for cycle in world.cycles:
        cycle._books.fence = lost  # noqa: SLF001
    await world.turns(10)
    assert not world.store.incidents
    assert not world.database.signals
    assert world.told.of(Event.LEDGER_UNAVAILABLE)[0]["because"] == "the lock is gone"


async def test_a_pause_stops_the_ladder_and_resume_lets_it_go_on() -> None:
    """What is in flight is verified; nothing new is begun; afterwards it goes on where it was."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.fill()
    world.meanwhile = world.leak
    await world.told_of(Event.STEP_SETTLING)
    await world.store.pause(Pause(world.clock.now().at, None, "I am on it"))
    turn = await world.turns(100)
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.PAUSED,)
    assert "I am on it" in turn.plan.detail
    assert not world.restarted
    said = [line for line in world.told.of(Event.PLAN_MADE) if line["objections"] == ["paused"]]
    assert len(said) == 1
    await world.store.resume()
    await world.turns_until(lambda _: bool(world.restarted))


async def test_a_pause_in_force_from_the_start_opens_the_incident_but_does_nothing() -> None:
    """The record shows that it was seen; the pause ends by itself."""
    world = World()
    world.fill()
    end = world.clock.now().at + timedelta(hours=1)
    await world.store.pause(Pause(world.clock.now().at, end, ""))
    await world.turns(100)
    assert len(world.store.incidents) == 1
    assert not world.database.signals
    await world.told_of(Event.INCIDENT_RELIEVED)
    assert world.clock.now().at >= end
    assert min(entry.intent.at for entry in world.entries) >= end


async def test_a_clock_set_back_does_not_stretch_a_wait() -> None:
    """A settle of seconds must not become hours."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.fill()
    world.meanwhile = world.leak
    await world.told_of(Event.STEP_SETTLING)
    world.clock.jump(-timedelta(hours=3))
    await world.turns_until(lambda _: bool(world.restarted), within=SETTLE * 3)


async def test_a_clock_set_back_does_not_refill_a_budget() -> None:
    """What was spent stays spent for at least its time."""
    world = World(make_policy(steps=(RESTART,), restart_per_service=Rate(1, timedelta(minutes=30))))
    world.fill()
    await world.turns_until(lambda _: bool(world.restarted))
    world.clock.jump(-timedelta(hours=3))
    await world.turns(300)
    assert world.restarted == ["celery-1"]


async def test_a_hold_is_told_anew_after_relief_was_told() -> None:
    """Who was told that it is over must be told when it is not, although nothing else has changed."""
    world = World(make_policy(steps=(RESTART,)))
    going = [world.database.open() for _ in range(HALF)]
    world.fill()
    await world.store.lock(Lock(database_scope("shop"), world.clock.now().at, "three rounds"))
    await world.told_of(Event.INCIDENT_HELD)
    for session in going:
        world.database.leave(session)
    await world.told_of(Event.INCIDENT_RELIEVED)
    world.fill(age=timedelta(0))

    await world.told_of(Event.INCIDENT_HELD, times=2, within=timedelta(minutes=10))
