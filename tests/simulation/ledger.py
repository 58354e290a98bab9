"""The ledger of the world, which tells an eye what is done to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from remediator.core.clock import ClockMark
from remediator.core.ledger import Entry, Incident, Intent, Ledger, Lock, Outcome, Pause
from remediator.testing.ledger import MemoryLedger

_EVER, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class LedgerEye:
    """Told what is done to the ledger, in the moment in which it becomes durable."""

    def intended(self, incident: Incident, entries: Sequence[Entry]) -> None:
        """Intents were recorded."""

    def concluded(self, before: Entry, after: Entry) -> None:
        """An entry that was open was asked to be given an outcome."""

    def saved(self, incident: Incident) -> None:
        """An incident was recorded."""

    def forbidden(self, what: str) -> None:
        """A pause, or a lock on a scope, was recorded."""


class _Load(NamedTuple):
    """What was loaded, and for which times it is the same, as long as nothing changes."""

    after: datetime
    until: datetime
    ledger: Ledger


class SimLedger(MemoryLedger):
    """A ledger in memory that tells what becomes durable, and reads anew only what has changed."""

    def __init__(self, eye: LedgerEye) -> None:
        super().__init__()
        self._eye = eye
        self._open: dict[int, Entry] = {}
        self._current: dict[str, Incident] = {}
        self._loads: list[_Load] = []

    async def load(self, since: datetime) -> Ledger:
        """Read open incidents with their entries, other entries made since then or open, pause and locks."""
        for kept in self._loads:
            if kept.after < since <= kept.until:
                return kept.ledger
        ledger = await super().load(since)
        there = {entry.id for entry in ledger.entries}
        left_out = (e.intent.counted_at for number, e in self.entries.items() if number not in there)
        by_time = (
            e.intent.counted_at
            for e in ledger.entries
            if e.outcome is not None and e.intent.incident not in self._current
        )
        after, until = max(left_out, default=_EVER), min(by_time, default=_NEVER)
        self._loads = [_Load(after, until, ledger), *self._loads[:3]]
        return ledger

    async def keep_clock(self, mark: ClockMark) -> None:
        """Record where all clocks stand; an entry that is far ahead counts as made then."""
        await super().keep_clock(mark)
        self._open = {number: self.entries[number] for number in self._open}
        self._changed()

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record an incident's new state and intents, all or nothing."""
        entries = await super().intend(incident, intents)
        self._open |= {entry.id: entry for entry in entries}
        self._note(incident)
        self._eye.intended(incident, entries)
        return entries

    async def conclude(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Record outcomes by entry."""
        before = [self.entries[number] for number, _ in outcomes]
        await super().conclude(outcomes)
        self._changed()
        for entry in before:
            self._open.pop(entry.id, None)
            self._eye.concluded(entry, self.entries[entry.id])

    async def save_incident(self, incident: Incident) -> None:
        """Insert or update an incident."""
        await super().save_incident(incident)
        self._note(incident)

    async def lock(self, lock: Lock) -> None:
        """Record a lock."""
        new = lock.scope not in self._locks
        await super().lock(lock)
        self._changed()
        if new:
            self._eye.forbidden(lock.scope)

    async def acknowledge(self) -> tuple[Lock, ...]:
        """Remove all locks; return them."""
        self._changed()
        return await super().acknowledge()

    async def pause(self, pause: Pause) -> None:
        """Record the pause."""
        await super().pause(pause)
        self._changed()
        self._eye.forbidden("pause")

    async def resume(self) -> bool:
        """Remove the pause; tell whether there was one."""
        self._changed()
        return await super().resume()

    async def prune(self, before: datetime) -> int:
        """Forget what is old."""
        self._changed()
        return await super().prune(before)

    def in_force(self) -> tuple[Pause | None, dict[str, Lock]]:
        """The pause and the locks, by scope."""
        return self._pause, self._locks

    def open_entries(self) -> Collection[Entry]:
        """All entries that have no outcome yet."""
        return self._open.values()

    def open_incidents(self) -> Collection[Incident]:
        """All incidents that are not over."""
        return self._current.values()

    def _note(self, incident: Incident) -> None:
        self._changed()
        if incident.closed_at is None:
            self._current[incident.id] = incident
        else:
            self._current.pop(incident.id, None)
        self._eye.saved(incident)

    def _changed(self) -> None:
        self._loads.clear()
