"""Every ledger keeps the same promises: the one in a file and the one in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.core.clock import ClockMark
from remediator.core.ledger import (
    Entry,
    Incident,
    Ledger,
    Lock,
    Outcome,
    Pause,
    Phase,
    Result,
)
from remediator.core.model import Mode
from remediator.errors import LedgerError
from remediator.ports import LedgerStore
from remediator.testing.ledger import MemoryLedger
from tests.testbed.ledger import DAY, NOW, RESTART, closed, confirmed, incident, intent, terminate

HOUR = timedelta(hours=1)


def _sqlite(state_dir: Path) -> LedgerStore:
    return SqliteLedger.open(state_dir, Mode.ENFORCE)


def _memory(_: Path) -> LedgerStore:
    return MemoryLedger()


@pytest.fixture(params=[_sqlite, _memory], ids=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LedgerStore]:
    """An empty ledger of each kind."""
    make: Callable[[Path], LedgerStore] = request.param
    made = make(tmp_path)
    yield made
    await made.close()


async def done(store: LedgerStore, of: Incident, *times: datetime) -> tuple[Entry, ...]:
    """Record concluded entries of an incident, made at these times."""
    entries = await store.intend(of, [intent(at=at, of=of.id) for at in times])
    await store.conclude([(entry.id, confirmed(entry.intent.at)) for entry in entries])
    return entries


async def test_new_ledger_is_empty(store: LedgerStore) -> None:
    """Nothing is in a ledger before something is recorded."""
    assert await store.load(NOW - DAY) == Ledger()
    assert await store.history(NOW - DAY) == ((), ())


async def test_checking_changes_nothing(store: LedgerStore) -> None:
    """Neither in an empty ledger nor in a used one."""
    await store.check()
    assert await store.load(NOW - DAY) == Ledger()
    await done(store, incident(), NOW)
    before = await store.load(NOW - DAY)
    await store.check()
    assert await store.load(NOW - DAY) == before


async def test_intents_are_read_back_as_they_were_made(store: LedgerStore) -> None:
    """Entries come back in order, with the incident, each under the id that was returned for it."""
    intents = [intent(terminate(1)), intent(terminate(2)), intent(RESTART)]
    entries = await store.intend(incident(), intents)
    assert [entry.intent for entry in entries] == intents
    assert len({entry.id for entry in entries}) == 3
    assert await store.load(NOW) == Ledger(entries=entries, incidents=(incident(),))


async def test_incident_is_updated_with_its_intents(store: LedgerStore) -> None:
    """There is one state of an incident, the last one saved."""
    await store.save_incident(incident())
    later = incident(step=1, round=2, not_before=NOW + DAY, failed_rounds=1, used=95, usable=97)
    await store.intend(later, [])
    assert (await store.load(NOW)).incidents == (later,)
    relieved = replace(later, phase=Phase.RELIEVED, relieved_at=NOW + DAY)
    await store.save_incident(relieved)
    assert (await store.load(NOW)).incidents == (relieved,)


async def test_outcome_belongs_to_its_entry_and_the_first_one_stays(store: LedgerStore) -> None:
    """What was found out once is not rewritten, not by another batch and not within one."""
    one, other = await store.intend(incident(), [intent(terminate(1)), intent(terminate(2))])
    refuted = Outcome(Result.REFUTED, NOW + DAY)
    await store.conclude([(other.id, confirmed()), (other.id, refuted)])
    await store.conclude([(other.id, refuted)])
    assert (await store.load(NOW)).entries == (one, replace(other, outcome=confirmed()))


async def test_outcomes_of_entries_that_do_not_exist_are_refused_all_together(store: LedgerStore) -> None:
    """A mistake in a batch is said, and nothing of the batch is kept."""
    (entry,) = await store.intend(incident(), [intent()])
    with pytest.raises(LedgerError, match=f"no .*entry {entry.id + 1}"):
        await store.conclude([(entry.id, confirmed()), (entry.id + 1, confirmed())])
    assert (await store.load(NOW)).entries == (entry,)


async def test_intent_of_an_incident_that_does_not_exist_is_refused(store: LedgerStore) -> None:
    """Every entry belongs to an incident; a batch is recorded as a whole or not at all."""
    with pytest.raises(LedgerError):
        await store.intend(incident(), [intent(), intent(of="nobody")])
    assert await store.load(NOW) == Ledger()


async def test_load_leaves_out_what_is_over_and_old(store: LedgerStore) -> None:
    """The past beyond `since` is not read for decisions, once nothing in it is open."""
    await done(store, closed("old", NOW - 9 * DAY, NOW - 8 * DAY), NOW - 9 * DAY)
    recent = await done(store, closed("new", NOW - DAY, NOW), NOW - DAY)
    ledger = await store.load(NOW - DAY)
    assert [entry.id for entry in ledger.entries] == [entry.id for entry in recent]
    assert ledger.incidents == ()


async def test_load_has_what_is_open_however_old(store: LedgerStore) -> None:
    """Open entries, and open incidents with all their entries, are read whatever their age."""
    over = closed("over", NOW - 9 * DAY, NOW - 8 * DAY)
    (still_open,) = await store.intend(over, [intent(at=NOW - 9 * DAY, of="over")])
    lasting = incident("lasting", NOW - 7 * DAY)
    (concluded,) = await done(store, lasting, NOW - 7 * DAY)
    ledger = await store.load(NOW)
    assert [entry.id for entry in ledger.entries] == [still_open.id, concluded.id]
    assert ledger.incidents == (lasting,)


async def test_since_is_compared_as_an_instant_and_is_included(store: LedgerStore) -> None:
    """An entry made exactly at `since` counts, one made a microsecond before does not."""
    before, exactly = await done(store, closed("i1", NOW, NOW), NOW - timedelta(microseconds=1), NOW)
    entries = (await store.load(NOW)).entries
    assert before.id not in {entry.id for entry in entries}
    assert [entry.id for entry in entries] == [exactly.id]


async def test_loading_again_gives_what_is_there_now(store: LedgerStore) -> None:
    """Concluded, open and new entries are each told as they are, however often they were read."""
    entries = await store.intend(incident(), [intent(terminate(pid)) for pid in (1, 2, 3)])
    await store.conclude([(entries[0].id, confirmed()), (entries[2].id, confirmed())])
    first = await store.load(NOW)
    assert await store.load(NOW) == first
    await store.conclude([(entries[1].id, confirmed())])
    await store.intend(incident(), [intent(terminate(4))])
    again = (await store.load(NOW)).entries
    assert [(entry.intent, entry.outcome) for entry in again] == [
        *((entry.intent, confirmed()) for entry in entries),
        (intent(terminate(4)), None),
    ]


async def test_locks_last_until_acknowledged(store: LedgerStore) -> None:
    """The first lock on a scope stays; `acknowledge` returns all and leaves none."""
    first = Lock("service:api", NOW, "did not become healthy")
    other = Lock("database:shop", NOW + DAY, "three rounds without relief")
    await store.lock(first)
    await store.lock(Lock("service:api", NOW + DAY, "again"))
    await store.lock(other)
    assert (await store.load(NOW)).locks == (first, other)
    assert await store.acknowledge() == (first, other)
    assert (await store.load(NOW)).locks == ()
    assert await store.acknowledge() == ()


async def test_there_is_one_pause_at_most(store: LedgerStore) -> None:
    """A pause replaces the one before; `resume` tells whether there was one."""
    assert not await store.resume()
    await store.pause(Pause(NOW, None))
    limited = Pause(NOW, NOW + DAY, "deploy")
    await store.pause(limited)
    assert (await store.load(NOW)).pause == limited
    assert await store.resume()
    assert not await store.resume()
    assert (await store.load(NOW)).pause is None


async def test_history_has_what_began_since_then_oldest_first(store: LedgerStore) -> None:
    """Closed and open incidents alike, by when they opened; entries in the order they were made."""
    old, late, early = (
        closed("old", NOW - 9 * DAY, NOW),
        incident("late", NOW),
        closed("early", NOW - DAY, NOW),
    )
    await done(store, old, NOW - 9 * DAY)
    last = await done(store, late, NOW)
    first = await done(store, early, NOW - DAY)
    incidents, entries = await store.history(NOW - DAY)
    assert incidents == (early, late)
    assert [entry.id for entry in entries] == [entry.id for entry in (*last, *first)]
    assert {entry.outcome is not None and entry.outcome.result for entry in entries} == {Result.CONFIRMED}


async def test_history_can_be_had_with_the_entries_of_few_incidents_only(store: LedgerStore) -> None:
    """Of the newest ones, and of one that is asked for by name; all incidents are listed all the same."""
    made = {}
    for number in range(5):
        opened = NOW - timedelta(hours=5 - number)
        made[number] = await done(store, closed(f"i{number}", opened, NOW), opened)
    incidents, entries = await store.history(NOW - DAY, newest=2)
    assert [each.id for each in incidents] == [f"i{number}" for number in range(5)]
    assert [entry.id for entry in entries] == [entry.id for n in (3, 4) for entry in made[n]]
    _, entries = await store.history(NOW - DAY, newest=1, also="i1")
    assert [entry.id for entry in entries] == [entry.id for n in (1, 4) for entry in made[n]]


async def test_history_has_what_is_open_however_old(store: LedgerStore) -> None:
    """What has been going on for weeks is the last thing to leave out, and so is what was done about it."""
    lasting = await done(store, incident("lasting", NOW - 30 * DAY), NOW - 30 * DAY)
    await done(store, closed("over", NOW - 30 * DAY, NOW - 29 * DAY), NOW - 30 * DAY)
    incidents, entries = await store.history(NOW - DAY)
    assert [each.id for each in incidents] == ["lasting"]
    assert [entry.id for entry in entries] == [entry.id for entry in lasting]


async def test_prune_forgets_what_is_over_and_old(store: LedgerStore) -> None:
    """Entries and their incidents go, younger ones stay, and an id is never given out again."""
    kept = await done(store, closed("new", NOW - 80 * DAY, NOW), NOW - 80 * DAY, NOW)
    forgotten = await done(store, closed("old", NOW - 99 * DAY, NOW - 98 * DAY), NOW - 99 * DAY)
    assert await store.prune(NOW - 90 * DAY) == 1
    assert await store.prune(NOW - 90 * DAY) == 0
    incidents, entries = await store.history(NOW - 999 * DAY)
    assert [each.id for each in incidents] == ["new"]
    assert [entry.id for entry in entries] == [entry.id for entry in kept]
    (new,) = await store.intend(incident("next"), [intent(of="next")])
    assert new.id > max(entry.id for entry in (*forgotten, *kept))


async def test_prune_keeps_what_is_open(store: LedgerStore) -> None:
    """An open entry and an open incident's entries stay, however old; so do their incidents."""
    await store.intend(closed("over", NOW - 99 * DAY, NOW - 98 * DAY), [intent(at=NOW - 99 * DAY, of="over")])
    await done(store, incident("lasting", NOW - 99 * DAY), NOW - 99 * DAY)
    await done(store, closed("new", NOW, NOW), NOW)
    before = await store.history(NOW - 999 * DAY)
    assert await store.prune(NOW - 90 * DAY) == 0
    assert await store.history(NOW - 999 * DAY) == before


async def test_prune_by_a_clock_far_ahead_leaves_the_budgets_alone(store: LedgerStore) -> None:
    """Nothing within a month of the newest entry goes, whatever day it is said to be."""
    await done(store, closed("old", NOW - 40 * DAY, NOW - 40 * DAY), NOW - 40 * DAY)
    kept = await done(store, closed("new", NOW - 30 * DAY, NOW), NOW - 30 * DAY, NOW)
    assert await store.prune(NOW + 9999 * DAY) == 1
    incidents, entries = await store.history(NOW - 999 * DAY)
    assert [each.id for each in incidents] == ["new"]
    assert [entry.id for entry in entries] == [entry.id for entry in kept]


async def test_the_clock_is_kept_and_the_last_mark_counts(store: LedgerStore) -> None:
    """It is where the next process goes on from."""
    assert await store.clock() is None
    await store.keep_clock(ClockMark("boot", 12.5, NOW, NOW))
    later = ClockMark("another boot", 3.25, NOW + DAY, NOW + timedelta(hours=1))
    await store.keep_clock(later)
    assert await store.clock() == later


async def test_entries_are_loaded_by_the_ledgers_clock(store: LedgerStore) -> None:
    """The wall clock may have been set forward by a year; what was done an hour ago still counts."""
    of = closed("i1", NOW, NOW)
    dated = [
        replace(intent(at=NOW + days * DAY), steady=NOW + hours * HOUR) for days, hours in ((400, 1), (0, 2))
    ]
    entries = await store.intend(of, dated)
    await store.conclude([(entry.id, confirmed()) for entry in entries])
    loaded = (await store.load(NOW + HOUR)).entries
    assert [entry.intent for entry in loaded] == dated
    assert [entry.intent for entry in (await store.load(NOW + 2 * HOUR)).entries] == dated[1:]


async def test_what_is_ahead_of_the_ledgers_clock_counts_as_made_when_that_was_kept(
    store: LedgerStore,
) -> None:
    """Or a record from a clock that was years ahead would block for years."""
    of = closed("i1", NOW, NOW)
    ahead, before = await done(store, of, NOW + 999 * DAY, NOW - HOUR)
    assert {entry.id for entry in (await store.load(NOW - HOUR)).entries} == {ahead.id, before.id}
    await store.keep_clock(ClockMark("boot", 1.0, NOW, NOW))
    counted = {e.id: e.intent.counted_at for e in (await store.load(NOW - DAY)).entries}
    assert counted == {ahead.id: NOW, before.id: NOW - HOUR}
    (loaded,) = (await store.load(NOW)).entries
    assert loaded.intent.at == NOW + 999 * DAY
    assert (await store.load(NOW + timedelta(microseconds=1))).entries == ()


async def test_what_another_cycle_did_a_moment_later_stays_when_it_was(store: LedgerStore) -> None:
    """A slow cycle keeps the clock as it stood at its beginning; no budget must refill earlier by that."""
    (entry,) = await done(store, closed("i1", NOW, NOW), NOW + timedelta(minutes=2))
    await store.keep_clock(ClockMark("boot", 1.0, NOW, NOW))
    (loaded,) = (await store.load(NOW - DAY)).entries
    assert loaded.intent == entry.intent


async def test_prune_goes_by_both_clocks(store: LedgerStore) -> None:
    """What counts as made within a month of the newest stays, however old its date is."""
    old = closed("old", NOW - 99 * DAY, NOW - 98 * DAY)
    dates = ((99, 32), (99, 30), (1, 40), (99, 0))
    made = [replace(intent(at=NOW - d * DAY, of="old"), steady=NOW - s * DAY) for d, s in dates]
    entries = await store.intend(old, made)
    await store.conclude([(entry.id, confirmed()) for entry in entries])
    assert await store.prune(NOW - 90 * DAY) == 1
    left = (await store.load(NOW - 999 * DAY)).entries
    assert [entry.id for entry in left] == [entry.id for entry in entries[1:]]


async def test_closed_ledger_opens_again_when_used(store: LedgerStore) -> None:
    """Closing lets go of resources, not of records."""
    entries = await store.intend(incident(), [intent()])
    await store.close()
    assert (await store.load(NOW)).entries == entries


async def test_memory_ledger_can_be_broken_and_mended() -> None:
    """Broken on purpose, it refuses everything and forgets nothing."""
    store = MemoryLedger()
    entries = await store.intend(incident(), [intent()])
    store.broken = "no space left"
    for use in (
        store.load(NOW),
        store.history(NOW),
        store.save_incident(incident("i2")),
        store.intend(incident("i2"), []),
        store.conclude([(entries[0].id, confirmed())]),
        store.lock(Lock("service:api", NOW, "")),
        store.acknowledge(),
        store.pause(Pause(NOW, None)),
        store.resume(),
        store.prune(NOW),
        store.clock(),
        store.keep_clock(ClockMark("", 0.0, NOW, NOW)),
    ):
        with pytest.raises(LedgerError, match="no space left"):
            await use
    store.broken = None
    assert await store.load(NOW) == Ledger(entries=entries, incidents=(incident(),))
