"""Each check tells how sessions ended since the one before, and whose doing it was."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from remediator.core.events import Event
from remediator.core.ledger import Result
from remediator.core.trouble import Trouble, TroubleKind
from tests.unit.cycle_world import World


def told(world: World) -> Counter[str]:
    """What all checks together told."""
    total: Counter[str] = Counter()
    for line in world.told.of(Event.CYCLE):
        total.update(line.get("ended", {}))
    return +total


async def test_what_we_end_is_not_told_as_somebody_elses_doing() -> None:
    """Not even where sessions take their time; what an operator ends meanwhile is."""
    world = World()
    await world.turn()
    world.fill()
    sessions = [s for s in world.database._sessions.values() if not s.own]  # noqa: SLF001  the fake's own
    for session in sessions[:5]:
        session.lingers = timedelta(seconds=70)
    await world.turns(8)
    confirmed = [e for e in world.entries if e.outcome and e.outcome.result is Result.CONFIRMED]
    assert len(confirmed) > 5
    left = [s for s in sessions if world.database.exists(s) and s.id not in world.database.signals]
    world.database.dismiss(left[0])
    world.database.vanish(left[1])
    world.database.vanish(left[2])
    await world.turns(10)
    assert world.database.counters.killed > 5
    assert told(world) == {"killed": 1, "abandoned": 2}


async def test_a_dry_run_tells_of_everybody_who_ends_sessions() -> None:
    """It ends none itself."""
    world = World()
    await world.turn()
    sessions = [world.database.open() for _ in range(3)]
    world.database.dismiss(sessions[0])
    await world.turn()
    world.database.dismiss(sessions[1])
    world.database.trouble = Trouble(TroubleKind.UNREACHABLE, "no route")
    await world.turn()
    world.database.trouble = None
    await world.turns(2)
    assert told(world) == {"killed": 2}
    assert [line.get("ended", {}).get("killed") for line in world.told.of(Event.CYCLE)] == [
        *(None, 1, None, 1, 0)
    ]
