"""The ladder, climbed in a world in memory: each step is verified, and none taken that is not needed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.core.events import Event
from remediator.core.ledger import Phase, Result
from remediator.core.model import Level
from remediator.core.plan import Objection
from remediator.core.policy import Rate, RestartService, When
from remediator.testing import Reaction
from tests.builders import make_policy
from tests.unit.cycle_world import FULL, HALF, RESTART, RETRY, SETTLE, STEADY, TERMINATE, World


async def test_a_calm_database_is_only_watched() -> None:
    """Nothing is recorded, planned or said but the canonical line."""
    world = World()
    world.fill(10, age=timedelta(0))
    turn = await world.turns(3)
    assert turn.assessment.level is Level.NORMAL
    assert (turn.plan, turn.incident) == (None, None)
    assert world.told.names(apart_from=()) == ["cycle"] * 3
    assert not world.store.incidents


async def test_critical_must_last_before_anything_is_done() -> None:
    """The first sample announces it, the one after the dwell time opens the incident."""
    world = World()
    world.fill()
    turn = await world.turn()
    assert turn.assessment.pending is Level.CRITICAL
    assert not world.store.incidents
    await world.turn()
    assert world.told.names()[:2] == ["level_changed", "level_pending"]
    assert len(world.told.of(Event.INCIDENT_OPENED)) == 1


async def test_a_peak_that_passes_opens_nothing() -> None:
    """Evidence that is gone before its time leaves no trace in the ledger."""
    world = World()
    world.fill()
    await world.turn()
    world.database.restart()
    await world.turn()
    await world.turn()
    assert not world.store.incidents
    assert not world.database.signals


async def test_terminations_alone_relieve() -> None:
    """The oldest idle sessions go, down to the target; no service is touched; the story is told in order."""
    world = World()
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    assert world.used() == HALF
    assert world.restarted == []
    assert world.outcomes() == [("terminate", "confirmed")] * (FULL - HALF)
    ids = [signal.pid for signal in world.database.signals]
    assert ids == sorted(ids)  # opened one after the other, the first ones are the oldest
    assert list(dict.fromkeys(world.told.names())) == [
        "level_changed",
        "level_pending",
        "incident_opened",
        "action_intended",
        "action_finished",
        "step_settling",
        "incident_relieved",
    ]


async def test_an_incident_closes_once_the_level_is_left() -> None:
    """Relief must last as long as the policy says; then the incident is over and all is idle."""
    world = World()
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    turn = await world.told_of(Event.INCIDENT_CLOSED)
    (incident,) = world.store.incidents.values()
    assert incident.phase is Phase.CLOSED
    assert incident.closed_at is not None
    assert incident.relieved_at is not None
    assert incident.closed_at - incident.relieved_at >= world.policy.clear.hold_for - timedelta(seconds=30)
    assert turn.incident is None
    assert (await world.turn()).plan is None


async def test_the_whole_ladder() -> None:
    """Terminate, settle, still critical, restart one service, verify, settle, relieved, closed."""
    world = World()
    world.fill()

    def refill_until_the_first_restart() -> None:
        if not world.restarted:
            world.leak()

    world.meanwhile = refill_until_the_first_restart
    await world.told_of(Event.STEP_SETTLING)
    terminated_at = world.clock.now()
    assert world.restarted == []
    await world.turns_until(lambda _: bool(world.restarted))
    assert world.clock.now().at - terminated_at.at >= SETTLE
    assert world.restarted == ["celery-1"]
    restarted_at = world.clock.now()
    for session in list(world.database._sessions.values())[1:60]:  # noqa: SLF001  what the restart sets free
        world.database.leave(session)
    await world.turns_until(lambda t: t.in_flight == 0)
    assert world.clock.now().at - restarted_at.at >= STEADY
    await world.told_of(Event.INCIDENT_RELIEVED)
    await world.told_of(Event.INCIDENT_CLOSED)
    assert world.restarted == ["celery-1"]
    assert world.outcomes()[-1] == ("celery-1", "confirmed")
    assert {result for _, result in world.outcomes()} == {"confirmed"}


async def test_no_second_step_while_the_first_is_not_verified() -> None:
    """While a restart is in flight every plan holds everything."""
    world = World(make_policy(steps=(RESTART, RestartService("api"))))
    world.fill()
    await world.turns_until(lambda t: t.in_flight == 1)
    turn = await world.turn()
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.IN_FLIGHT,)
    assert world.restarted == ["celery-1"]


async def test_a_step_that_is_not_needed_is_left_out() -> None:
    """What relieves by itself before the ladder's turn costs nothing more."""
    world = World()
    world.fill()
    await world.told_of(Event.STEP_SETTLING)
    await world.told_of(Event.INCIDENT_RELIEVED)
    plan = world.told.of(Event.PLAN_MADE)[-1]
    restarts = [step for step in plan["steps"] if step["step"].startswith("restart")]
    assert [step["objections"] for step in restarts] == [["not_needed"], ["not_needed"]]
    assert world.restarted == []


async def test_a_step_that_is_always_taken_is_taken_after_relief() -> None:
    """`when: always` has its turn once, also when the database is no longer critical."""
    always = RestartService("api", When.ALWAYS)
    world = World(make_policy(steps=(TERMINATE, RESTART, always)))
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    assert world.restarted == ["api-1"]
    await world.told_of(Event.INCIDENT_CLOSED)
    assert world.restarted == ["api-1"]


async def test_replicas_are_restarted_one_at_a_time() -> None:
    """The next one only after the last one is confirmed; together they are one restart of the service."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 3})
    world.fill()
    seen: list[int] = []
    turn = await world.turns_until(lambda t: t.in_flight == 1)
    for _ in range(30):
        open_entries = [e for e in world.entries if e.outcome is None]
        assert len(open_entries) == turn.in_flight <= 1
        seen.append(len(world.restarted))
        turn = await world.turn()
    assert world.restarted == ["celery-1", "celery-2", "celery-3"]
    assert seen == sorted(seen)
    assert [e.outcome.result for e in world.entries if e.outcome] == [Result.CONFIRMED] * 3
    for before, after in zip(world.entries, world.entries[1:], strict=False):
        assert before.outcome is not None
        assert before.outcome.at <= after.intent.at


async def test_a_refuted_restart_locks_the_service_and_the_ladder_goes_on() -> None:
    """A service that does not come back stays untouched until `ack`; the next service has its turn."""
    world = World(make_policy(steps=(RESTART, RestartService("api"))), services={"celery": 2, "api": 1})
    world.runtimes["celery"].script("celery-1", Reaction.CRASH_LOOP)
    world.fill()
    await world.told_of(Event.LOCKED)
    assert world.told.of(Event.LOCKED)[0]["scope"] == "service:celery"
    await world.turns_until(lambda _: "api-1" in world.restarted)
    assert world.restarted == ["celery-1", "api-1"]
    assert world.outcomes()[0] == ("celery-1", "refuted")
    await world.told_of(Event.INCIDENT_HELD)
    await world.turns(200)
    assert world.restarted.count("celery-1") == 1
    assert "celery-2" not in world.restarted
    assert len(world.told.of(Event.LOCKED)) == 1


async def test_after_an_acknowledgement_a_locked_service_is_restarted_again() -> None:
    """`ack` is what it takes, and all it takes once the budget allows."""
    policy = make_policy(steps=(RESTART,), restart_per_service=Rate(1, timedelta(minutes=1)))
    world = World(policy, services={"celery": 1})
    world.runtimes["celery"].script("celery-1", Reaction.STAY_UNHEALTHY, Reaction.COMPLY)
    world.fill()
    await world.told_of(Event.LOCKED)
    await world.told_of(Event.INCIDENT_HELD)
    await world.turns(100)
    assert world.restarted == ["celery-1"]
    (lock,) = await world.store.acknowledge()
    assert lock.scope == "service:celery"
    await world.turns_until(lambda _: len(world.restarted) == 2)
    await world.turns_until(lambda t: t.in_flight == 0)
    assert world.outcomes() == [("celery-1", "refuted"), ("celery-1", "confirmed")]


@pytest.mark.parametrize(
    ("reaction", "result", "really"),
    [
        (Reaction.COMPLY, "confirmed", True),
        (Reaction.ANSWER_LOST, "confirmed", True),
        (Reaction.HANG, "unconfirmed", False),
        (Reaction.REJECT, "denied", False),
        (Reaction.VANISH, "changed", False),
        (Reaction.CRASH_LOOP, "refuted", True),
        (Reaction.STAY_DOWN, "refuted", True),
        (Reaction.STAY_UNHEALTHY, "refuted", True),
    ],
)
async def test_the_outcome_of_a_restart_is_what_the_world_shows(
    reaction: Reaction, result: str, *, really: bool
) -> None:
    """Whatever the runtime answered; and nothing is asked of it twice."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.runtimes["celery"].script("celery-1", reaction)
    world.fill()
    await world.turns_until(lambda t: t.in_flight == 1)
    await world.turns(60)
    assert world.outcomes()[0] == ("celery-1", result)
    assert world.restarted == (["celery-1"] if really else [])
    assert len(world.told.of(Event.ACTION_FINISHED)) == len(world.entries)


async def test_a_session_that_stays_is_unconfirmed_and_not_signalled_again_in_its_step() -> None:
    """One signal each; what does not go in time is recorded as such and charged."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill()
    for session in world.database._sessions.values():  # noqa: SLF001
        session.lingers = None
    await world.told_of(Event.ACTION_FINISHED)
    assert {result for _, result in world.outcomes()} == {"unconfirmed"}
    assert len(world.database.signals) == len(set(world.database.signals)) == FULL // 2


async def test_sessions_that_wake_up_are_left_and_cost_nothing() -> None:
    """What has changed since it was chosen lives, is recorded as `changed`, and is not charged."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill()
    for session in world.database._sessions.values():  # noqa: SLF001
        session.flips = True
    await world.told_of(Event.ACTION_FINISHED)
    assert world.database.signals == []
    assert {result for _, result in world.outcomes()} == {"changed"}
    assert world.used() == FULL
    assert not world.told.of(Event.STEP_SETTLING)  # there is nothing whose effect could be awaited
    turn = await world.turn()
    assert turn.incident is not None
    assert turn.incident.not_before is None or turn.incident.phase is Phase.HELD


async def test_what_we_may_not_do_is_said_and_the_next_step_has_its_turn() -> None:
    """Without pg_signal_backend no termination is tried; the service is restarted all the same."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.database.can_signal = False
    world.fill()
    await world.turns_until(lambda _: bool(world.restarted))
    assert world.told.names().count("may_not_signal") == 1
    assert world.told.of(Event.PLAN_MADE)[0]["steps"][0]["objections"] == ["may_not_signal"]
    assert world.database.signals == []


async def test_the_right_to_signal_lost_between_plan_and_act_is_recorded_as_denied() -> None:
    """Denied, not charged, and the ladder goes on."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.fill()

    class Revoking:
        """Takes the right away once the sessions have been read."""

        def __getattr__(self, name: str) -> object:
            if name == "terminate":
                world.database.can_signal = False
            return getattr(world.database, name)

    world.cycles[0]._actor.database = Revoking()  # type: ignore[assignment]  # noqa: SLF001
    await world.told_of(Event.ACTION_FINISHED)
    assert {result for _, result in world.outcomes()} == {"denied"}
    await world.turns_until(lambda _: bool(world.restarted))


async def test_a_hold_is_said_once_and_looked_at_again() -> None:
    """With nothing to terminate or restart it says so once; a session that grows old later is terminated."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill(age=timedelta(0))
    await world.told_of(Event.INCIDENT_HELD)
    held = world.told.of(Event.INCIDENT_HELD)
    assert "no session may be terminated" in held[0]["because"]
    await world.turns(20)
    assert len(world.told.of(Event.INCIDENT_HELD)) == 1
    assert world.told.names().count("incident_opened") == 1
    assert world.database.signals == []
    await world.told_of(Event.INCIDENT_RELIEVED, within=timedelta(minutes=12))
    assert world.used() == HALF


async def test_relief_is_said_when_it_comes_while_waiting_for_the_next_round() -> None:
    """Whoever brought it: the record must not say that it took until the wait was over."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill()
    world.meanwhile = world.leak
    await world.told_of(Event.INCIDENT_HELD)
    world.meanwhile = lambda: None
    world.database._sessions.clear()  # noqa: SLF001
    turn = await world.turns_until(lambda _: bool(world.told.of(Event.INCIDENT_RELIEVED)))
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.WAITING,)


async def test_rounds_without_relief_end_in_a_lock() -> None:
    """A failed round, a wait, another; after the third nothing is done until somebody acknowledges."""
    policy = make_policy(steps=(TERMINATE,), terminate=Rate(10_000, timedelta(hours=1)))
    world = World(policy)

    world.fill()
    world.meanwhile = world.leak_old
    await world.told_of(Event.LOCKED)
    starts = [line["round"] for line in world.told.of(Event.INCIDENT_HELD)]
    assert starts == [1, 2, 3]
    rounds = {entry.intent.round: entry.intent.at for entry in world.entries}
    assert sorted(rounds) == [1, 2, 3]
    assert rounds[2] - rounds[1] >= RETRY
    assert rounds[3] - rounds[2] >= RETRY
    assert world.told.of(Event.LOCKED)[0]["scope"] == "database:shop"
    signals = len(world.database.signals)
    turn = await world.turns(150)
    assert turn.plan is not None
    assert Objection.LOCKED in turn.plan.objections
    assert len(world.database.signals) == signals
    await world.store.acknowledge()
    await world.turns_until(lambda _: len(world.database.signals) > signals)
    assert max(entry.intent.round for entry in world.entries) == 4


async def test_a_limit_of_failed_rounds_that_a_reload_lowers_holds_at_once() -> None:
    """What has failed already counts, also when it is no multiple of the new limit; then it counts anew."""
    world = World(make_policy(steps=(TERMINATE,), failed_rounds=4))
    world.fill()

    world.meanwhile = world.leak_old
    await world.told_of(Event.INCIDENT_HELD, 2, within=3 * RETRY)
    for cycle in world.cycles:
        cycle.policy = make_policy(steps=(TERMINATE,), failed_rounds=2)
    await world.told_of(Event.LOCKED)
    (incident,) = world.store.incidents.values()
    assert incident.failed_rounds == 3
    assert "3 rounds without relief" in world.told.of(Event.LOCKED)[0]["because"]
    await world.store.acknowledge()
    await world.told_of(Event.LOCKED, 2)
    (incident,) = world.store.incidents.values()
    assert incident.failed_rounds == 5


async def test_a_service_restarted_in_three_failed_rounds_is_locked_and_ack_lifts_it() -> None:
    """For other databases too; one that had no turn is not."""
    plenty = Rate(100, timedelta(hours=1))
    policy = make_policy(
        steps=(RESTART, RestartService("api")),
        restart_per_service=(plenty, Rate(1, timedelta(minutes=4))),
        restart=plenty,
    )
    world = World(policy)
    world.runtimes["api"].remove("api-1")
    world.fill()
    await world.turns_until(lambda _: len(world.restarted) == 2)
    assert not world.told.of(Event.LOCKED)
    await world.told_of(Event.LOCKED, 2)
    assert {line["scope"] for line in world.told.of(Event.LOCKED)} == {"service:celery", "database:shop"}
    assert all("3 rounds without relief" in line["because"] for line in world.told.of(Event.LOCKED))
    assert world.restarted == ["celery-1"] * 3
    await world.turns(200)
    assert world.restarted == ["celery-1"] * 3
    assert len(await world.store.acknowledge()) == 2
    await world.turns_until(lambda _: len(world.restarted) == 4)


async def test_a_plan_that_wants_nearly_everything_is_not_begun_and_a_person_is_told() -> None:
    """Neither the part of it that the limits leave, nor the harsher steps behind it."""
    world = World(make_policy(until=0.05))
    world.fill()
    await world.told_of(Event.INCIDENT_HELD)
    await world.turns(100)
    assert not world.entries
    (held,) = world.told.of(Event.INCIDENT_HELD)
    assert "too many at once to be right" in held["because"]
    assert "92 of 96 would have to go, more than 80% or 2000" in held["because"]


async def test_steps_that_a_reload_reorders_begin_a_new_round_within_the_same_budgets() -> None:
    """The index of the next step would point to another one; what was restarted is not restarted again."""
    world = World(make_policy(steps=(RESTART, TERMINATE, RestartService("api"))))
    world.fill()
    world.meanwhile = world.leak
    await world.turns_until(lambda _: world.outcomes() == [("celery-1", "confirmed")])
    for cycle in world.cycles:
        cycle.policy = make_policy(steps=(TERMINATE, RESTART, RestartService("api")))
    await world.turns_until(lambda _: len(world.restarted) == 2)
    (told,) = world.told.of(Event.LADDER_CHANGED)
    assert told["round"] == 2
    assert [what for what, _ in world.outcomes() if what != "terminate"] == ["celery-1", "api-1"]
    steps = [(e.intent.round, e.intent.step) for e in world.entries]
    assert steps[0] == (1, 0)
    assert set(steps[1:]) == {(2, 0), (2, 2)}


async def test_relief_that_does_not_last_begins_another_round() -> None:
    """The ladder starts from its foot, in the same incident; the budgets go on counting."""
    world = World()
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    first = len(world.database.signals)
    world.fill(age=timedelta(minutes=1))
    for session in world.database._sessions.values():  # noqa: SLF001
        if session.state_change is not None:
            session.state_change -= timedelta(hours=1)
    await world.told_of(Event.INCIDENT_RELAPSED)
    await world.told_of(Event.INCIDENT_RELIEVED, 2)
    assert len(world.store.incidents) == 1
    assert {entry.intent.round for entry in world.entries} == {1, 2}
    assert len(world.database.signals) > first
    assert world.used() <= HALF


async def test_relief_stands_within_the_margin() -> None:
    """Between leaving and entering critical lies the margin; a few sessions more there restart nothing."""
    world = World()
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    world.leak(85)
    await world.turns(6)
    assert 0.85 < world.used() / 97 <= 0.9
    assert (world.told.of(Event.INCIDENT_RELAPSED), world.restarted) == ([], [])


async def test_relief_is_not_undone_by_one_bad_sample() -> None:
    """Critical must last before it counts, after relief as before."""
    world = World()
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    world.database.half_open = FULL
    turn = await world.turn()
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.UNCONFIRMED,)
    world.database.half_open = 0
    await world.turns(6)
    assert (world.told.of(Event.INCIDENT_RELAPSED), world.restarted) == ([], [])
    world.database.half_open = FULL
    await world.turns(2)
    assert len(world.told.of(Event.INCIDENT_RELAPSED)) == 1


async def test_the_limit_of_terminations_holds_over_rounds() -> None:
    """What the hour's budget does not allow is not done, however critical it is."""
    world = World(make_policy(steps=(TERMINATE,), terminate=Rate(5, timedelta(hours=1))))
    world.fill()
    for _ in range(600):
        await world.turn()
        recent = [e for e in world.entries if e.intent.at > world.clock.now().at - timedelta(hours=1)]
        assert len(recent) <= 5
    assert len(world.database.signals) == 5
    assert "limit for this period reached" in world.told.of(Event.INCIDENT_HELD)[-1]["because"]


async def test_a_service_is_not_restarted_again_within_its_cooldown() -> None:
    """The next round finds the budget spent and holds."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.fill()
    await world.turns(360)
    assert world.restarted == ["celery-1"]
    await world.turns_until(lambda _: len(world.restarted) == 2)
    first, second = (e.intent.at for e in world.entries)
    assert second - first >= timedelta(minutes=30)
