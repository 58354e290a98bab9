"""The ledger's port over the SQLite file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from remediator.adapters.ledger import queries
from remediator.adapters.ledger.file import NAME, LedgerFile
from remediator.adapters.worker import Worker
from remediator.core.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from remediator.adapters.ledger.connection import Connection
    from remediator.core.clock import ClockMark
    from remediator.core.ledger import Entry, Incident, Intent, Lock, Outcome, Pause
    from remediator.core.model import Mode

_T = TypeVar("_T")

_DEADLINE = timedelta(seconds=5)
_NO_HISTORY: tuple[tuple[Incident, ...], tuple[Entry, ...]] = ((), ())


def has_ledger(state_dir: Path) -> bool:
    """Tell whether there is a ledger, whatever state it is in."""
    return (state_dir / NAME).exists()


class SqliteLedger:
    """The ledger in `ledger.db` of the state directory; implements `LedgerStore`.

    Nothing is opened before it is needed, and after an error the next call opens the file anew: a full
    disk that has room again, or a directory that was given to the right user, needs no restart. Each
    mode has entries, incidents and locks of its own; the pause is shared.

    A call that failed because of its deadline may take effect later. That is on the safe side: an
    intent that nobody acted upon is open, counts against the limits, and is reconciled like any other.

    Args:
        state_dir: The directory; must exist and belong to the user we run as.
        mode: Whose records these are.
        read_only: Never write; without a file the ledger is empty.
        deadline: How long a call may take before it fails.
    """

    def __init__(
        self, state_dir: Path, mode: Mode, *, read_only: bool = False, deadline: timedelta = _DEADLINE
    ) -> None:
        self._mode = mode
        self._file = LedgerFile(state_dir, read_only=read_only)
        self._worker = Worker(f"ledger {self._file.path}", deadline)

    @classmethod
    def open(cls, state_dir: Path, mode: Mode) -> Self:
        """Open the ledger, created if need be, and make sure that it can be used.

        Raises:
            LedgerError: It cannot: where, why, and what to do.
        """
        return cls(state_dir, mode)._opened()  # noqa: SLF001  our own

    @classmethod
    def open_read_only(cls, state_dir: Path, mode: Mode) -> Self:
        """Open the ledger beside a daemon that may be running; where there is none, it is empty.

        Raises:
            LedgerError: There is one, and it cannot be read.
        """
        return cls(state_dir, mode, read_only=True)._opened()  # noqa: SLF001  our own

    async def load(self, since: datetime) -> Ledger:
        """Read open incidents with their entries, other entries made since then or open, pause and locks."""
        return await self._read(lambda db: queries.load(db, self._mode, since), Ledger())

    async def clock(self) -> ClockMark | None:
        """Read where all clocks stood when that was last kept, None when it never was."""
        return await self._read(queries.clock, None)

    async def keep_clock(self, mark: ClockMark) -> None:
        """Record where all clocks stand, durably; an entry that is far ahead counts as made then."""
        await self._write(lambda db: queries.keep_clock(db, mark))

    async def history(
        self, since: datetime, newest: int | None = None, also: str = ""
    ) -> tuple[tuple[Incident, ...], tuple[Entry, ...]]:
        """Read incidents opened since then or open, entries made since then or of open ones, oldest first.

        Args:
            since: Wall-clock time.
            newest: Of the entries only those of so many incidents, the newest ones.
            also: And those of the incident of this id.
        """
        return await self._read(lambda db: queries.history(db, self._mode, since, newest, also), _NO_HISTORY)

    async def save_incident(self, incident: Incident) -> None:
        """Insert or update an incident, durably."""
        await self._write(lambda db: queries.save_incident(db, self._mode, incident))

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record an incident's new state and intents in one durable transaction."""
        return await self._write(lambda db: queries.intend(db, self._mode, incident, intents))

    async def conclude(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Record outcomes by entry; all or, when one of the entries does not exist, none."""
        await self._write(lambda db: queries.conclude(db, self._mode, outcomes))

    async def lock(self, lock: Lock) -> None:
        """Record a lock; an existing one on the same scope stays as it is."""
        await self._write(lambda db: queries.lock(db, self._mode, lock))

    async def acknowledge(self) -> tuple[Lock, ...]:
        """Remove all locks of this mode; return them."""
        return await self._write(lambda db: queries.acknowledge(db, self._mode))

    async def pause(self, pause: Pause) -> None:
        """Record the pause of both modes, replacing any other."""
        await self._write(lambda db: queries.pause(db, pause))

    async def resume(self) -> bool:
        """Remove the pause; tell whether there was one."""
        return await self._write(queries.resume)

    async def prune(self, before: datetime) -> int:
        """Forget closed incidents, and their concluded entries, of both modes; tell how many entries."""
        return await self._write(lambda db: queries.prune(db, before))

    async def check(self) -> None:
        """Make sure that a record could be made now, by writing to the disk a change that means nothing."""
        await self._write(lambda _: None)

    async def close(self) -> None:
        """Close the file; using the ledger again opens it again."""
        try:
            await self._worker.run(self._file.close)
        finally:
            self._worker.stop()

    def _opened(self) -> Self:
        self._worker.run_blocking(lambda: self._file.read(lambda _: None, None))
        return self

    async def _read(self, work: Callable[[Connection], _T], nothing: _T) -> _T:
        return await self._worker.run(lambda: self._file.read(work, nothing))

    async def _write(self, work: Callable[[Connection], _T]) -> _T:
        return await self._worker.run(lambda: self._file.write(work))
