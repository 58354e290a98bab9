"""Reading what was recorded, beside the daemon that records."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from remediator.adapters.recording import file
from remediator.adapters.recording.codec import unpack, unpack_deposition
from remediator.adapters.recording.recorder import microseconds
from remediator.adapters.worker import Worker
from remediator.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    from remediator.core.deposition import Deposition
    from remediator.core.model import Mode
    from remediator.core.reading import Reading

_T = TypeVar("_T")
_DEADLINE = timedelta(seconds=5)
_LONGER = timedelta(minutes=5)

_BETWEEN = "FROM reading WHERE database = ? AND mode = ? AND at >= ? AND at < ?"
_ALL = f"SELECT record, NULL {_BETWEEN} ORDER BY at, id"
# Of alternatives the fullest: a peak must be seen on a chart, however long a time it covers.
_PEAKS = f"""
    SELECT record, NULL FROM reading WHERE id IN (
        SELECT id FROM (SELECT id, max(used) {_BETWEEN} GROUP BY (at - ?) / ?)
    ) ORDER BY at, id"""  # noqa: S608  ours
_WHOLE = f"SELECT record, deliberation {_BETWEEN} ORDER BY at, id"
_DEPOSITIONS = (
    "SELECT record FROM deposition WHERE replica = ? AND mode = ? AND at >= ? AND at < ? ORDER BY at, id"
)
_STORY = "SELECT record, deliberation FROM reading WHERE story = ? AND mode = ? ORDER BY at, id"


class SqliteRecording:
    """The recording in `recording.db` of the state directory; implements `Recording`.

    Args:
        state_dir: The state directory.
        mode: Whose readings are asked for.
    """

    def __init__(self, state_dir: Path, mode: Mode) -> None:
        self._path = state_dir / file.NAME
        self._mode = mode
        self._quick = Worker(f"recording {self._path}", _DEADLINE, error=RecordingError, name="recalling")
        self._thorough = Worker(f"recording {self._path}", _LONGER, error=RecordingError, name="recalling")

    async def readings(
        self, database: str, since: datetime, until: datetime, points: int | None = None
    ) -> tuple[Reading, ...]:
        """Read what was seen, oldest first, without surveys and plans.

        Raises:
            RecordingError: It cannot be read.
        """
        start, end = microseconds(since), microseconds(until)
        where = (database, self._mode.value, start, end)
        if points is None:
            return await self._quick.run(lambda: self._select(_ALL, where))
        width = max(1, -(-(end - start) // max(1, points)))
        return await self._quick.run(lambda: self._select(_PEAKS, (*where, start, width)))

    async def whole(self, database: str, since: datetime, until: datetime) -> tuple[Reading, ...]:
        """Read everything that was kept, oldest first.

        Raises:
            RecordingError: It cannot be read.
        """
        where = (database, self._mode.value, microseconds(since), microseconds(until))
        return await self._thorough.run(lambda: self._select(_WHOLE, where))

    async def story(self, incident: str) -> tuple[Reading, ...]:
        """Read everything that was kept of an incident, and from shortly before and after it.

        Raises:
            RecordingError: It cannot be read.
        """
        return await self._quick.run(lambda: self._select(_STORY, (incident, self._mode.value)))

    async def depositions(self, replica: str, since: datetime, until: datetime) -> tuple[Deposition, ...]:
        """Read what was learned of a replica right before it was restarted, oldest first.

        Raises:
            RecordingError: It cannot be read.
        """
        where = replica, self._mode.value, microseconds(since), microseconds(until)

        def select(db: sqlite3.Connection) -> tuple[Deposition, ...]:
            return tuple(_unpacked(record for (record,) in db.execute(_DEPOSITIONS, where)))

        if not self._path.exists():
            return ()
        return await self._quick.run(lambda: self._guarded(select))

    async def close(self) -> None:
        """Let go of it; asking again opens it again."""
        self._quick.stop()
        self._thorough.stop()

    def _select(self, query: str, where: tuple[object, ...]) -> tuple[Reading, ...]:
        if not self._path.exists():
            return ()
        return self._guarded(lambda db: tuple(_readable(db.execute(query, where))))

    def _guarded(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            with closing(file.connect(self._path, "ro")) as connection:
                file.examine(connection)
                return work(connection)
        except RecordingError as error:
            raise RecordingError(f"recording {self._path}: {error}") from error
        except (sqlite3.Error, OSError) as error:
            raise RecordingError(f"recording {self._path}: {error}") from error


def _readable(rows: Iterable[tuple[bytes, bytes | None]]) -> Iterable[Reading]:
    """What is damaged is passed over: one reading more or less decides nothing."""
    for record, deliberation in rows:
        with suppress(ValueError):
            yield unpack(record, deliberation)


def _unpacked(records: Iterable[bytes]) -> Iterable[Deposition]:
    for record in records:
        with suppress(ValueError):
            yield unpack_deposition(record)
