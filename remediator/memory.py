"""A ledger in memory: for a replay, and for tests of what uses one."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from remediator.core.clock import ClockMark
from remediator.core.ledger import Entry, Incident, Intent, Ledger, Lock, Outcome, Pause
from remediator.errors import LedgerError
from remediator.ports import AHEAD, KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


class MemoryLedger:
    """Keeps records as long as the process lives; otherwise like the real one, which it is tested with.

    Attributes:
        broken: While set, every method raises `LedgerError` with this message and changes nothing.
        entries: All entries, by id.
        incidents: All incidents, by id.
    """

    def __init__(self) -> None:
        self.broken: str | None = None
        self.entries: dict[int, Entry] = {}
        self.incidents: dict[str, Incident] = {}
        self._locks: dict[str, Lock] = {}
        self._pause: Pause | None = None
        self._clock: ClockMark | None = None
        self._ids = count(1)

    def remember(self, incidents: Iterable[Incident], entries: Iterable[Entry]) -> None:
        """Begin with what was done before; must be called before anything else is recorded.

        Args:
            incidents: Those that the entries belong to.
            entries: With the ids they had.
        """
        self.incidents |= {incident.id: incident for incident in incidents}
        self.entries |= {entry.id: entry for entry in entries}
        self._ids = count(max(self.entries, default=0) + 1)

    async def load(self, since: datetime) -> Ledger:
        """Read open incidents with their entries, other entries made since then or open, pause and locks."""
        self._check()
        return Ledger(
            entries=tuple(
                entry
                for entry in self.entries.values()
                if entry.intent.counted_at >= since
                or entry.outcome is None
                or self.incidents[entry.intent.incident].closed_at is None
            ),
            incidents=_by_time(i for i in self.incidents.values() if i.closed_at is None),
            pause=self._pause,
            locks=self._sorted_locks(),
        )

    async def clock(self) -> ClockMark | None:
        """Read where all clocks stood when that was last kept."""
        self._check()
        return self._clock

    async def keep_clock(self, mark: ClockMark) -> None:
        """Record where all clocks stand; an entry that is far ahead counts as made then."""
        self._check()
        self._clock = mark
        for number, entry in self.entries.items():
            if entry.intent.counted_at > mark.steady + AHEAD:
                self.entries[number] = replace(entry, intent=replace(entry.intent, steady=mark.steady))

    async def history(
        self, since: datetime, newest: int | None = None, also: str = ""
    ) -> tuple[tuple[Incident, ...], tuple[Entry, ...]]:
        """Read incidents opened since then or open, entries made since then or of open ones, oldest first.

        Args:
            since: Wall-clock time.
            newest: Of the entries only those of so many incidents, the newest ones.
            also: And those of the incident of this id.
        """
        self._check()
        found = _by_time(i for i in self.incidents.values() if i.opened_at >= since or i.closed_at is None)
        if newest is not None:
            wanted = {also, *(incident.id for incident in found[max(0, len(found) - newest) :])}
            return found, tuple(e for e in self.entries.values() if e.intent.incident in wanted)
        return found, tuple(
            entry
            for entry in self.entries.values()
            if entry.intent.at >= since or self.incidents[entry.intent.incident].closed_at is None
        )

    async def save_incident(self, incident: Incident) -> None:
        """Insert or update an incident."""
        self._check()
        self.incidents[incident.id] = incident

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record an incident's new state and intents, all or nothing."""
        self._check()
        for intent in intents:
            if intent.incident not in self.incidents.keys() | {incident.id}:
                raise LedgerError(f"the ledger has no incident {intent.incident}; nothing was recorded")
        self.incidents[incident.id] = incident
        entries = tuple(Entry(next(self._ids), intent) for intent in intents)
        self.entries |= {entry.id: entry for entry in entries}
        return entries

    async def conclude(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Record outcomes by entry; all or, when one of the entries does not exist, none."""
        self._check()
        for number, _ in outcomes:
            if number not in self.entries:
                raise LedgerError(f"the ledger has no entry {number}; no outcome was recorded")
        for number, outcome in outcomes:
            entry = self.entries[number]
            if entry.outcome is None:
                self.entries[number] = replace(entry, outcome=outcome)

    async def lock(self, lock: Lock) -> None:
        """Record a lock; an existing one on the same scope stays as it is."""
        self._check()
        self._locks.setdefault(lock.scope, lock)

    async def acknowledge(self) -> tuple[Lock, ...]:
        """Remove all locks; return them."""
        self._check()
        locks = self._sorted_locks()
        self._locks.clear()
        return locks

    async def pause(self, pause: Pause) -> None:
        """Record the pause, replacing any other."""
        self._check()
        self._pause = pause

    async def resume(self) -> bool:
        """Remove the pause; tell whether there was one."""
        self._check()
        pause, self._pause = self._pause, None
        return pause is not None

    async def prune(self, before: datetime) -> int:
        """Forget closed incidents, and their concluded entries, from before then; tell how many entries."""
        self._check()
        newest = max((entry.intent.counted_at for entry in self.entries.values()), default=before)
        over = {i.id for i in self.incidents.values() if i.closed_at is not None and i.closed_at < before}
        forgotten = [
            entry.id
            for entry in self.entries.values()
            if entry.intent.incident in over
            and entry.outcome is not None
            and entry.intent.at < before
            and entry.intent.counted_at < newest - KEPT
        ]
        for number in forgotten:
            del self.entries[number]
        for incident in over - {entry.intent.incident for entry in self.entries.values()}:
            del self.incidents[incident]
        return len(forgotten)

    async def check(self) -> None:
        """A record can be made unless it is broken."""
        self._check()

    async def close(self) -> None:
        """Nothing to let go of."""

    def _check(self) -> None:
        if self.broken is not None:
            raise LedgerError(self.broken)

    def _sorted_locks(self) -> tuple[Lock, ...]:
        return tuple(sorted(self._locks.values(), key=lambda lock: (lock.since, lock.scope)))


def _by_time(incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    return tuple(sorted(incidents, key=lambda incident: (incident.opened_at, incident.id)))
