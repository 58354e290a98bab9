"""A process that dies at any moment of an incident, and the next one over the same ledger."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from remediator.core.events import Event
from remediator.core.ledger import Pause, Phase, Result
from remediator.core.model import Level
from remediator.core.plan import Objection, RestartReplica, TerminateSession
from remediator.core.policy import RestartService
from remediator.core.trouble import Trouble, TroubleKind
from remediator.testing import Reaction
from tests.builders import make_policy
from tests.unit.cycle_world import RESTART, RETRY, TERMINATE, World, breathe

_WRITES = ("save_incident", "intend", "conclude", "lock")


class _DeathError(BaseException):
    """Not an error that anything could catch and go on."""


class _Mortal:
    """A ledger whose process dies at its n-th write, just before or just after it is durable."""

    def __init__(self, store: Any, dies_at: int, *, after: bool) -> None:
        self._store = store
        self._left = dies_at
        self._after = after
        self.died = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in _WRITES:
            return method

        async def write(*arguments: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                self.died = True
                raise _DeathError
            result = await method(*arguments)
            if self._left == 0:
                self.died = True
                raise _DeathError
            return result

        return write


def _world() -> World:
    """One incident with terminations, a service of two replicas and one that does not come back."""
    world = World(
        make_policy(steps=(TERMINATE, RESTART, RestartService("api"))), services={"celery": 2, "api": 1}
    )
    world.runtimes["api"].script("api-1", Reaction.CRASH_LOOP)
    world.fill()
    world.meanwhile = world.leak
    return world


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dies_at", range(1, 17))
async def test_death_at_any_write(dies_at: int, *, after: bool) -> None:
    """Every intent gets one outcome, nothing is restarted twice, what was refuted is locked."""
    world = _world()
    mortal = _Mortal(world.store, dies_at, after=after)
    world.fresh_cycles(mortal)
    with pytest.raises(_DeathError):
        await world.turns(200)
    await breathe()
    world.fresh_cycles()
    await world.turns(200)

    assert all(entry.outcome is not None for entry in world.entries)
    finished = Counter(line["id"] for line in world.told.of(Event.ACTION_FINISHED))
    assert max(finished.values()) == 1
    assert max(Counter(world.restarted).values()) == 1
    assert len(world.database.signals) == len(set(world.database.signals))
    intended = Counter(
        entry.intent.action.replica.name if isinstance(entry.intent.action, RestartReplica) else ""
        for entry in world.entries
    )
    del intended[""]
    assert max(intended.values(), default=0) == 1
    refuted = {
        f"service:{entry.intent.action.replica.service}"
        for entry in world.entries
        if entry.outcome is not None
        and entry.outcome.result is Result.REFUTED
        and isinstance(entry.intent.action, RestartReplica)
    }
    locks = (await world.store.load(world.clock.now().at)).locks
    assert refuted == {lock.scope for lock in locks if lock.scope.startswith("service:")}
    assert len([i for i in world.store.incidents.values() if i.closed_at is None]) == 1


async def test_the_writes_are_as_many_as_are_tried() -> None:
    """The deaths of the test above reach every write of the incident's first round."""
    world = _world()
    world.fresh_cycles(_Mortal(world.store, 17, after=True))
    with pytest.raises(_DeathError):
        await world.turns(200)
    assert world.told.of(Event.LOCKED)
    assert world.told.of(Event.INCIDENT_HELD)


async def test_an_incident_survives_its_process() -> None:
    """The next process goes on with it instead of closing it because critical is not confirmed anew."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill()
    world.meanwhile = world.leak
    await world.told_of(Event.INCIDENT_HELD)
    before = next(iter(world.store.incidents.values()))
    world.fresh_cycles()
    turn = await world.turn()
    assert turn.assessment.level is Level.CRITICAL
    assert turn.incident == before
    assert Event.INCIDENT_CLOSED not in {event for event, _ in world.told.lines}


async def test_an_incident_from_before_is_no_proof_of_today() -> None:
    """After a start of ours nothing is done on the first sample; critical must last, as it had to before."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.fill()
    await world.store.pause(Pause(world.clock.now().at, None))
    await world.told_of(Event.INCIDENT_OPENED)
    await world.store.resume()
    world.clock.advance(timedelta(days=3))
    world.fresh_cycles()
    turn = await world.turn()
    assert turn.plan is not None
    assert turn.plan.objections == (Objection.UNCONFIRMED,)
    assert world.restarted == []
    await world.turn()
    assert world.restarted == ["celery-1"]


async def test_an_incident_is_not_closed_by_a_start_that_cannot_see() -> None:
    """With PostgreSQL down when we start, the incident stays open until critical is seen to be over."""
    world = World()
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    world.database.trouble = Trouble(TroubleKind.UNREACHABLE, "connection refused")
    world.fresh_cycles()
    await world.turns(200)
    (incident,) = world.store.incidents.values()
    assert incident.phase is Phase.RELIEVED
    world.database.trouble = None
    await world.told_of(Event.INCIDENT_CLOSED)


async def test_failed_rounds_are_counted_over_restarts_of_ours() -> None:
    """A crash loop of ours does not keep the lock away."""
    world = World(make_policy(steps=(TERMINATE,), failed_rounds=3))
    world.fill()

    world.meanwhile = world.leak_old
    for held in (1, 2, 3):
        await world.told_of(Event.INCIDENT_HELD, held, within=3 * RETRY)
        world.fresh_cycles()
    assert [line["scope"] for line in world.told.of(Event.LOCKED)] == ["database:shop"]


async def test_a_restart_that_was_under_way_is_settled_by_looking() -> None:
    """The outcome comes from the replica; the restart is not asked for again."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.fill()
    await world.turns_until(lambda t: t.in_flight == 1)
    world.fresh_cycles()
    turn = await world.turn()
    assert turn.in_flight == 1
    await world.turns_until(lambda t: t.in_flight == 0)
    assert world.outcomes()[0] == ("celery-1", "confirmed")
    assert world.restarted == ["celery-1"]


async def test_an_intent_that_was_never_carried_out_is_settled_too() -> None:
    """Charged and unconfirmed: nobody can tell, and the budget must not be better off for a crash."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.fill()
    world.fresh_cycles(_Mortal(world.store, 2, after=True))
    with pytest.raises(_DeathError):
        await world.turns(200)
    world.fresh_cycles()
    await world.told_of(Event.ACTION_FINISHED)
    assert world.outcomes() == [("celery-1", "unconfirmed")]
    assert world.restarted == []
    assert world.entries[0].charged
    await world.turns(100)
    assert len(world.entries) == 1


async def test_open_terminations_are_settled_when_the_level_has_been_left_meanwhile() -> None:
    """The next start finds a calm database: it still looks for the sessions, says so, and then closes."""
    world = World(make_policy(steps=(TERMINATE,)))
    world.fill()
    world.fresh_cycles(_Mortal(world.store, 2, after=True))
    with pytest.raises(_DeathError):
        await world.turns(200)
    assert all(isinstance(e.intent.action, TerminateSession) for e in world.entries)
    world.database.restart()
    world.fresh_cycles()
    turn = await world.turn()
    assert turn.in_flight == 0
    assert {result for _, result in world.outcomes()} == {"confirmed"}
    await world.told_of(Event.INCIDENT_CLOSED)


async def test_a_removed_service_does_not_keep_its_entry_open() -> None:
    """An entry about a service that the config no longer has is closed as unknown."""
    world = World(make_policy(steps=(RESTART,)), services={"celery": 1})
    world.fill()
    await world.turns_until(lambda t: t.in_flight == 1)
    del world.runtimes["celery"]
    world.policy = make_policy(steps=(TERMINATE,))
    world.fresh_cycles()
    await world.turn()
    assert world.outcomes()[0] == ("celery-1", "unknown")
    assert world.told.of(Event.ACTION_FINISHED)[0]["detail"] == "the service is no longer in the config"
