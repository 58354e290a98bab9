"""Clocks that are set, a machine that sleeps or starts anew: budgets and waits go by the time that passed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.core.clock import stamped
from remediator.core.events import Event
from remediator.core.ledger import Pause, Result
from remediator.core.plan import Objection
from remediator.core.policy import Rate
from tests.builders import make_policy
from tests.unit.cycle_world import RESTART, SETTLE, TERMINATE, World

HALF_AN_HOUR = timedelta(minutes=30)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


async def restarted_once() -> World:
    """A world in which the service has just had the one restart that half an hour allows, in vain."""
    world = World(make_policy(steps=(RESTART,), restart_per_service=Rate(1, HALF_AN_HOUR)))
    world.fill()
    await world.turns_until(lambda _: bool(world.outcomes()) and world.outcomes()[-1][1] == "confirmed")
    assert world.restarted == ["celery-1"]
    return world


@pytest.mark.parametrize("by", [HOUR, YEAR, -HOUR, -YEAR], ids=str)
async def test_a_clock_that_is_set_neither_refills_a_budget_nor_blocks_it(by: timedelta) -> None:
    """Half an hour is half an hour."""
    world = await restarted_once()
    spent = world.clock.now().mono
    world.clock.jump(by)
    await world.turns_until(lambda _: len(world.restarted) == 2)
    assert HALF_AN_HOUR.total_seconds() - 60 <= world.clock.now().mono - spent
    assert world.clock.now().mono - spent <= HALF_AN_HOUR.total_seconds() + 600
    (told,) = world.told.of(Event.CLOCK_JUMPED)
    assert told["seconds"] == by.total_seconds()


async def test_a_new_process_knows_the_time_that_passed() -> None:
    """It was down while the clock was set; the machine was not."""
    world = await restarted_once()
    world.clock.advance(60)
    world.clock.jump(YEAR)
    world.fresh_cycles()
    await world.turns(250)
    assert world.restarted == ["celery-1"]
    await world.turns_until(lambda _: len(world.restarted) == 2, within=HALF_AN_HOUR)


async def test_a_sleeping_machine_is_no_jump_and_its_sleep_is_time() -> None:
    """The monotonic clock stands still meanwhile."""
    world = await restarted_once()
    world.clock.sleep(8 * HOUR)
    await world.turns_until(lambda _: len(world.restarted) == 2, within=timedelta(minutes=10))
    assert not world.told.of(Event.CLOCK_JUMPED)


@pytest.mark.parametrize(
    ("off", "waits"), [(HOUR, False), (-YEAR, True), (timedelta(minutes=1), True)], ids=str
)
async def test_across_a_reboot_the_wall_clock_counts_unless_it_went_back(off: timedelta, waits: bool) -> None:
    """A machine without a battery begins in the past; nothing refills by it, nothing blocks for years."""
    world = await restarted_once()
    world.clock.reboot(off)
    world.fresh_cycles()
    await world.turns(120)
    assert (world.restarted == ["celery-1"]) is waits
    await world.turns_until(lambda _: len(world.restarted) == 2, within=HALF_AN_HOUR)


async def test_a_clock_set_wrong_before_a_reboot_and_right_after_it_refills_nothing() -> None:
    """What it was set to is kept, so that only the difference from there on counts."""
    world = await restarted_once()
    world.clock.jump(YEAR)
    await world.turn()
    world.clock.reboot(timedelta(minutes=1))
    world.fresh_cycles()
    await world.turns(60)
    world.clock.jump(-YEAR)
    await world.turns(60)
    assert world.restarted == ["celery-1"]


async def test_records_from_a_clock_that_was_years_ahead_do_not_block_for_years() -> None:
    """They count as made when the ledger's clock was kept first."""
    world = World(make_policy(steps=(RESTART,), restart_per_service=Rate(1, HALF_AN_HOUR)))
    world.clock.jump(YEAR)
    plain = world.clock.now()
    world.fill()
    await world.turns_until(lambda _: bool(world.restarted))
    assert world.entries[0].intent.at > plain.at
    # as a version that knew no clock would have left it
    for number, entry in list(world.store.entries.items()):
        world.store.entries[number] = replace(entry, intent=replace(entry.intent, steady=None))
    world.store._clock = None  # noqa: SLF001
    world.clock.jump(-YEAR)
    world.fresh_cycles()
    await world.turns(60)
    assert world.restarted == ["celery-1"]
    await world.turns_until(lambda _: len(world.restarted) == 2, within=HOUR)


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=str)
async def test_a_wait_lasts_as_long_as_it_was_meant_to(by: timedelta) -> None:
    """Neither cut short by an hour nor made longer by one."""
    world = World(make_policy(steps=(TERMINATE, RESTART)))
    world.fill()
    world.meanwhile = world.leak
    turn = await world.told_of(Event.STEP_SETTLING)
    world.clock.jump(by)
    turn = await world.turn()
    assert turn.plan is not None
    assert Objection.SETTLING in turn.plan.objections
    assert not world.restarted
    await world.turns_until(lambda _: bool(world.restarted), within=SETTLE * 2)


@pytest.mark.parametrize("by", [HOUR, -YEAR], ids=str)
async def test_a_pause_lasts_as_long_as_it_was_meant_to(by: timedelta) -> None:
    """Ending early would act while an operator works, ending late would not act for a year."""
    world = World()
    await world.turn()
    now = stamped(world.clock.now(), await world.store.clock())
    await world.store.pause(Pause(now.at, now.at + HOUR / 2, "deploy", now.steady + HOUR / 2))
    world.fill()
    world.clock.jump(by)
    await world.turns(60)  # with the twenty minutes in which sessions grew old, 25 have passed
    assert not world.entries
    await world.turns_until(lambda _: bool(world.entries), within=timedelta(minutes=10))


async def test_an_action_under_way_is_not_given_up_because_the_clock_was_set() -> None:
    """It has its time to show."""
    world = World(make_policy(steps=(RESTART,)))
    world.runtimes["celery"].takes = timedelta(seconds=30)
    world.fill()
    await world.turns_until(lambda turn: turn.in_flight > 0)
    world.clock.jump(YEAR)
    await world.turns_until(lambda turn: turn.in_flight == 0, within=timedelta(minutes=5))
    assert [e.outcome.result for e in world.entries if e.outcome] == [Result.CONFIRMED]


async def test_a_jump_is_told_once_for_all_databases() -> None:
    """It is the machine's, not theirs."""
    world = World(databases=("shop", "blog"))
    await world.turns(2)
    world.clock.jump(-YEAR)
    await world.turns(3)
    (told,) = world.told.of(Event.CLOCK_JUMPED)
    assert told["because"] == "the wall clock was set back by 365d"


async def test_nothing_is_done_before_the_clock_is_kept() -> None:
    """An entry dated by a clock that the next process does not know would mislead it."""
    world = World()
    kept = world.store.keep_clock

    async def fails(mark: object) -> None:
        world.store.broken = "disk full"
        try:
            await kept(mark)  # type: ignore[arg-type]
        finally:
            world.store.broken = None

    world.store.keep_clock = fails  # type: ignore[method-assign]
    world.fill()
    await world.told_of(Event.LEDGER_UNAVAILABLE)
    await world.turns(20)
    assert not world.entries
    world.store.keep_clock = kept  # type: ignore[method-assign]
    await world.turns_until(lambda _: bool(world.entries))
