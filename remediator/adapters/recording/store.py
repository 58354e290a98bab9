"""Reading what was recorded, beside the daemon that records."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from remediator.adapters.recording import file
from remediator.adapters.recording.codec import MOST, unpack, unpack_deposition, unpack_survey
from remediator.adapters.recording.recorder import microseconds
from remediator.adapters.sqlite import connect
from remediator.adapters.worker import Worker
from remediator.core.story import another_plan
from remediator.core.text import duration
from remediator.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from remediator.core.deposition import Deposition
    from remediator.core.model import Mode
    from remediator.core.plan import Survey
    from remediator.core.reading import Decision, Reading

_T = TypeVar("_T")
_DEADLINE = timedelta(seconds=5)
_STEPS = 10_000
# So much is taken into memory at once: bytes of records, about, and readings.
_AT_ONCE, _ROWS = 4_000_000, 200
_MOST_READINGS = 1_000_000

_BETWEEN = "FROM reading WHERE database = ? AND mode = ? AND at >= ? AND at < ?"
# Of alternatives the fullest: a peak must be seen on a chart, however long a time it covers.
_PEAKS = f"""
    SELECT id FROM (SELECT id, at, max(used) {_BETWEEN} GROUP BY (at - ?) / ?) ORDER BY at, id"""  # noqa: S608  ours
_ALL = f"SELECT id {_BETWEEN} ORDER BY at, id"
# By the clock that is never set back.
_WHOLE = f"SELECT id {_BETWEEN} ORDER BY steady, id"
_STORY = "SELECT id FROM reading WHERE story = ? AND mode = ? ORDER BY steady, id"
_RECORD = "SELECT record, deliberation FROM reading WHERE id = ?"
_DELIBERATION = "SELECT deliberation FROM reading WHERE id = ?"
_DEPOSITIONS = (
    "SELECT record FROM deposition WHERE replica = ? AND mode = ? AND at >= ? AND at < ? ORDER BY at, id"
    " LIMIT 100"
)


class SqliteRecording:
    """The recording in `recording.db` of the state directory; implements `Recording`.

    What is in the file is not trusted: no record, no number of them and no query takes more memory or time
    than agreed, and what cannot be read is passed over and counted.

    Args:
        state_dir: The state directory.
        mode: Whose readings are asked for.

    Attributes:
        damaged: How many readings could not be read so far.
    """

    def __init__(self, state_dir: Path, mode: Mode) -> None:
        self.damaged = 0
        self._path = state_dir / file.NAME
        self._mode = mode
        self._worker = Worker(f"recording {self._path}", _DEADLINE, error=RecordingError, name="recalling")

    async def readings(
        self, database: str, since: datetime, until: datetime, points: int | None = None
    ) -> tuple[Reading, ...]:
        """Read what was seen, oldest first, without surveys and plans.

        Raises:
            RecordingError: It cannot be read.
        """
        start, end = microseconds(since), microseconds(until)
        where: tuple[object, ...] = (database, self._mode.value, start, end)
        if points is None:
            return tuple([r async for r in self._all(_ALL, where, _Extent.SHORT)])
        width = max(1, -(-(end - start) // max(1, points)))
        return tuple([r async for r in self._all(_PEAKS, (*where, start, width), _Extent.SHORT)])

    async def whole(self, database: str, since: datetime, until: datetime) -> AsyncIterator[Reading]:
        """Read everything that was kept, oldest first, a part at a time.

        Raises:
            RecordingError: It cannot be read any further.
        """
        where = (database, self._mode.value, microseconds(since), microseconds(until))
        async for reading in self._all(_WHOLE, where):
            yield reading

    async def story(self, incident: str, *, surveys: bool = True) -> AsyncIterator[Reading]:
        """Read everything that was kept of an incident, and from shortly before and after it.

        Args:
            incident: Its id.
            surveys: With the surveys, which take the most time, where a plan differs from the one before.

        Raises:
            RecordingError: It cannot be read any further.
        """
        extent = _Extent.CHANGES if surveys else _Extent.PLANS
        async for reading in self._all(_STORY, (incident, self._mode.value), extent):
            yield reading

    async def depositions(self, replica: str, since: datetime, until: datetime) -> tuple[Deposition, ...]:
        """Read what was learned of a replica right before it was restarted, oldest first.

        Raises:
            RecordingError: It cannot be read.
        """
        where = replica, self._mode.value, microseconds(since), microseconds(until)

        def select(db: sqlite3.Connection) -> tuple[Deposition, ...]:
            return tuple(_unpacked(record for (record,) in db.execute(_DEPOSITIONS, where)))

        return await self._ask(select, ())

    async def close(self) -> None:
        """Let go of it; asking again opens it again."""
        self._worker.stop()

    async def _all(
        self, listing: str, where: tuple[object, ...], extent: _Extent | None = None
    ) -> AsyncIterator[Reading]:
        nothing: tuple[Sequence[int], str] = ((), "")
        rows, trouble = await self._ask(lambda db: _listed(db, listing, where), nothing)
        desk = _Desk(extent or _Extent.ALL)
        place = 0
        while place < len(rows):
            found = await self._ask(partial(desk.read, rows=rows[place : place + _ROWS]), None)
            if found is None:
                return
            place += found.rows
            self.damaged += found.damaged
            for reading in found.readings:
                yield reading
        if trouble:
            raise RecordingError(f"recording {self._path}: {trouble}")

    async def _ask(self, work: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
        return await self._worker.run(lambda: self._guarded(work, nothing))

    def _guarded(self, work: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
        """Work on the file; `nothing` is the answer where there is none."""
        try:
            if not file.present(self._path):
                return nothing
            with closing(connect(self._path, "ro", sqlite3.Connection)) as connection:
                _bound(connection)
                file.examine(connection)
                return work(connection)
        except RecordingError as error:
            raise RecordingError(f"recording {self._path}: {error}") from error
        except (sqlite3.Error, OSError, ValueError, OverflowError) as error:
            said = file.in_words(error)
            if _interrupted(error):
                said = f"it takes more than {duration(_DEADLINE)} to look through"
            raise RecordingError(f"recording {self._path}: {said}") from error


class _Extent(Enum):
    """How much of a reading is wanted: without plan and survey, without survey, or all of it.

    `CHANGES` has surveys where a plan differs from the one before.
    """

    SHORT = "short"
    PLANS = "plans"
    CHANGES = "changes"
    ALL = "all"


@dataclass(slots=True)
class _Part:
    """What was read at once: from so many rows, of which some could not be read."""

    readings: list[Reading] = field(default_factory=list)
    rows: int = 0
    damaged: int = 0
    size: int = 0


class _Desk:
    """Takes readings out of rows, with the survey at hand that the next ones are told by."""

    def __init__(self, extent: _Extent) -> None:
        self._extent = extent
        self._plan: Decision | None = None
        self._full: tuple[int, Survey] | None = None

    def read(self, db: sqlite3.Connection, rows: Sequence[int]) -> _Part:
        """Read as many of these rows as memory is meant for, at least the first."""
        part = _Part()
        for row in rows:
            if part.size > _AT_ONCE:
                break
            part.rows += 1
            try:
                self._read(db, row, part)
            except (ValueError, sqlite3.DatabaseError) as error:
                if _interrupted(error):
                    raise
                part.damaged += 1
        return part

    def _read(self, db: sqlite3.Connection, row: int, part: _Part) -> None:
        found = db.execute(_RECORD, (row,)).fetchone()
        if found is None:  # forgotten meanwhile
            return
        record, deliberation = found
        wanted = deliberation if self._extent is not _Extent.SHORT else None
        earlier = partial(self._earlier, db)
        reading, size = unpack(record, wanted, earlier if self._extent is _Extent.ALL else None)
        if self._extent is _Extent.CHANGES and another_plan(self._plan, reading.plan):
            reading, size = unpack(record, wanted, earlier)
        self._plan = reading.plan
        if reading.survey is not None:
            self._full = row, reading.survey
        part.readings.append(reading)
        part.size += size

    def _earlier(self, db: sqlite3.Connection, row: int) -> Survey:
        if self._full is None or self._full[0] != row:
            (deliberation,) = db.execute(_DELIBERATION, (row,)).fetchone() or (None,)
            self._full = row, unpack_survey(deliberation)
        return self._full[1]


def _bound(connection: sqlite3.Connection) -> None:
    """Make sure that nothing that is in the file takes much memory, or goes on without an end."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST)
    end = time.monotonic() + _DEADLINE.total_seconds()
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)


def _listed(db: sqlite3.Connection, query: str, where: tuple[object, ...]) -> tuple[Sequence[int], str]:
    """The rows that were asked for, and why they are not all of them."""
    rows: list[int] = []
    try:
        for (row,) in db.execute(query, where):
            if len(rows) >= _MOST_READINGS:
                return rows, f"there are more than {_MOST_READINGS} readings; the rest was left out"
            rows.append(int(row))
    except sqlite3.DatabaseError as error:
        if not rows:
            raise
        return rows, f"{error}; what follows could not be read"
    return rows, ""


def _interrupted(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT"


def _unpacked(records: Iterable[bytes]) -> Iterable[Deposition]:
    for record in records:
        with suppress(ValueError):
            yield unpack_deposition(record)
