"""What the status page keeps in memory is bounded in bytes, and whoever leaves costs the next one nothing."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from remediator.core.assess import Watch, assess
from remediator.core.events import Event
from remediator.core.ledger import Incident
from remediator.core.model import Mode
from remediator.core.plan import Plan
from remediator.core.reading import Decision, Reading, Rung, Verdict, reading_of
from remediator.core.scene import Kind, Scene
from remediator.core.turn import Turn
from remediator.status import told_by
from remediator.status.archive import Archive
from remediator.status.memory import Remembered
from tests.builders import START, make_group, make_policy, make_sample
from tests.unit.cycle_world import World
from tests.unit.test_status import Viewed

SESSIONS, PLANS = 1_000, 60
MEGABYTE = 1_000_000


def looks(number: int, detail: str = "") -> list[Reading]:
    """Looks of one incident, each with another plan for a thousand sessions, none of them the same object."""
    policy, sample = make_policy(), make_sample(groups=[make_group(count=96)])
    incident = Incident("shop-1", "shop", START, "96 of 97")
    first = reading_of(
        "shop", policy, "", Turn(assess(policy, Watch(), sample), Plan(), incident), Mode.ENFORCE, ""
    )
    return [
        replace(
            first,
            sample=replace(sample, moment=replace(sample.moment, at=START + timedelta(seconds=second))),
            plan=Decision(
                (
                    Rung(
                        0,
                        "terminate idle",
                        (Verdict(tuple(range(10_000 + second, 10_000 + second + SESSIONS)), "idle"),),
                    ),
                ),
                detail=f"{second} {detail}",
            ),
        )
        for second in range(number)
    ]


async def one_by_one(readings: Sequence[Reading]) -> AsyncIterator[Reading]:
    """Readings as the recording gives them."""
    for reading in readings:
        yield reading


async def of_the_archive(readings: Sequence[Reading]) -> Sequence[Scene]:
    """What is kept of a story that was looked up."""
    return await told_by(one_by_one(readings))


async def of_the_memory(readings: Sequence[Reading]) -> Sequence[Scene]:
    """What is kept of the last hours."""
    known = Remembered()
    for reading in readings:
        known.tell(reading)
    known.newest = None  # the only one that is kept whole
    return known.scenes


@pytest.mark.parametrize("kept", [of_the_archive, of_the_memory])
async def test_a_story_costs_the_same_however_many_sessions_it_is_about(kept: Any) -> None:
    """Of each plan the numbers are kept, not who it was about."""
    readings = looks(PLANS)
    tracemalloc.start()
    try:
        scenes = await kept(readings)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    planned = [scene.plan for scene in scenes if scene.kind is Kind.PLANNED]
    assert len(planned) == PLANS
    assert all(plan is not None and plan.steps[0].acts == SESSIONS for plan in planned)
    assert size < MEGABYTE, "sixty plans that name a thousand sessions each would take more than two"


async def test_whatever_was_recorded_the_archive_stays_small() -> None:
    """Texts of any length: the newest scenes that fit are kept, of the newest stories only."""
    mark = "x" * 100_000

    async def recount(_: str) -> Sequence[Scene]:
        return await told_by(one_by_one(held(60, mark)))

    archive = Archive(recount)
    stories = [Incident(f"shop-{n}", "shop", START, "", closed_at=START) for n in range(40)]
    for first in range(0, len(stories), 10):
        archive.look_up(stories[first : first + 10])
        await idle()
    kept = [archive.known(one) for one in stories]
    assert [bool(scenes) for scenes in kept] == [False] * 24 + [True] * 16
    assert all(
        len(scene.because) > len(mark) for scenes in kept for scene in scenes if scene.kind is Kind.HELD
    )
    assert sum(len(repr(scene)) for scenes in kept for scene in scenes) < 24 * MEGABYTE
    newest = [scene.at for scene in kept[-1]]
    assert newest == sorted(newest)
    assert newest[-1] == START + timedelta(seconds=59)


async def test_what_is_asked_for_again_is_not_looked_up_again() -> None:
    """Others are let go of first."""
    asked: list[str] = []

    async def recount(identity: str) -> Sequence[Scene]:
        asked.append(identity)
        return await told_by(one_by_one(looks(1)))

    archive = Archive(recount)
    stories = [Incident(f"shop-{n}", "shop", START, "", closed_at=START) for n in range(40)]
    for visited in stories[11:]:
        archive.look_up([*stories[:11], visited])
        await idle()
    assert asked == [one.id for one in stories]


def held(number: int, detail: str) -> list[Reading]:
    """Looks of one incident that is held, each for another reason."""
    return [
        replace(reading, plan=Decision(objections=(str(second),), detail=f"{detail} {second}", held=True))
        for second, reading in enumerate(looks(number))
    ]


async def idle() -> None:
    """Let what goes on in the background go on."""
    for _ in range(200):
        await asyncio.sleep(0)


class Slow:
    """A ledger that answers once it is allowed to."""

    def __init__(self, viewed: Viewed, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self._history = viewed.world.store.history
        monkeypatch.setattr(viewed.world.store, "history", self.history)

    async def history(self, since: datetime, newest: int | None = None, also: str = "") -> Any:
        """Answer late."""
        self.asked.set()
        await self.go_on.wait()
        return await self._history(since, newest, also)


async def test_whoever_leaves_during_a_read_hides_nothing_from_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An incident that has just opened is on the very next page, whoever went away meanwhile."""
    viewed = Viewed(World())
    await viewed.turns(2)
    assert not (await viewed.desk.page())["stories"]
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_OPENED)
    viewed.world.clock.advance(2)
    slow = Slow(viewed, monkeypatch)
    leaving = asyncio.create_task(viewed.desk.page())
    await slow.asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    slow.go_on.set()
    assert (await viewed.desk.page())["stories"], "at once, and not after a second"


async def test_what_fails_for_a_fault_of_ours_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and taken for nothing that was read."""
    viewed = Viewed(World())
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_OPENED)
    with monkeypatch.context() as spoilt:
        spoilt.setattr(viewed.world.store, "history", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await viewed.desk.page()
    assert (await viewed.desk.page())["stories"]


async def test_an_old_incident_is_told_whole_whoever_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an incident that is not among the newest, what was done is read when it is asked for."""
    viewed = Viewed(World())
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_CLOSED)
    (old,) = viewed.world.store.incidents.values()
    for number in range(10):
        opened = old.opened_at + timedelta(seconds=number + 1)
        await viewed.world.store.save_incident(replace(old, id=f"later-{number}", opened_at=opened))
    page = await viewed.desk.page()
    assert old.id not in {story.id for story in page["stories"]}
    for _ in range(2):  # within the same second as the page
        shown = await viewed.desk.incident(old.id)
        assert shown is not None
        assert shown["story"].summary == "48 sessions terminated (48 confirmed)"
        other, shown = await asyncio.gather(viewed.desk.incident("later-3"), viewed.desk.incident(old.id))
        assert other is not None
        assert shown is not None
        assert shown["story"].summary == "48 sessions terminated (48 confirmed)"
    viewed.world.clock.advance(2)
    slow = Slow(viewed, monkeypatch)
    leaving = asyncio.create_task(viewed.desk.incident("later-4"))
    await slow.asked.wait()
    leaving.cancel()
    slow.go_on.set()
    shown = await viewed.desk.incident(old.id)
    assert shown is not None
    assert shown["story"].summary == "48 sessions terminated (48 confirmed)"
