"""Keeping readings, in a thread of its own: no disk ever holds up a cycle."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

from remediator.adapters.recording import file
from remediator.adapters.recording.codec import pack, pack_deposition
from remediator.adapters.recording.stories import Stories
from remediator.adapters.recording.surveys import Surveys
from remediator.adapters.recording.thinning import Keep, size, thin
from remediator.adapters.sqlite import transaction
from remediator.core.deposition import Deposition
from remediator.core.events import Event
from remediator.core.reading import Reading, fingerprint, reading_of
from remediator.core.text import count
from remediator.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from remediator.core.model import Mode
    from remediator.core.policy import Policy
    from remediator.core.turn import Turn
    from remediator.ports import Observer

# A planning cycle with a thousand sessions waits here as values that are in memory anyway.
_WAITING = 256
_AT_ONCE = 64
_THIN_EVERY = timedelta(hours=1) // timedelta(microseconds=1)
_PATIENCE = 2.0
_LEFT_FREE = 20_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_INSERT = """
    INSERT INTO reading (mode, database, at, steady, used, story, marked, record, deliberation)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_KEEP_DEPOSITION = "INSERT INTO deposition (mode, replica, at, record) VALUES (?, ?, ?, ?)"

_Item = tuple[str, "Policy", "Turn"] | Deposition


def microseconds(at: datetime) -> int:
    """A time as the file has it."""
    return (at - _EPOCH) // _MICROSECOND


class Recorder:
    """Keeps a reading of each completed cycle; implements `Follower`.

    Trouble of any kind costs readings and nothing else. It is told once, and once more when it is over,
    with the number of readings that were lost.

    Args:
        state_dir: Where the file is.
        mode: Whose readings these are.
        run: Tells one life of the daemon from another.
        keep: What is kept, and for how long.
        observer: Told of trouble, from our thread.
    """

    def __init__(self, state_dir: Path, mode: Mode, run: str, keep: Keep, observer: Observer) -> None:
        self._state_dir = state_dir
        self._mode = mode
        self._run = run
        self._keep = keep
        self._observer = observer
        self._waiting: Queue[_Item | None] = Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._overflowed = 0
        # All that follows belongs to the thread.
        self._connection: sqlite3.Connection | None = None
        self._stories = Stories()
        self._surveys = Surveys()
        self._marks: dict[int, tuple[Policy, str]] = {}
        self._thinned: int | None = None
        self._lost = 0
        self._told = False

    def diagnosed(self, deposition: Deposition) -> None:
        """Keep what was learned right before a restart."""
        self._take(deposition)

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Take note of a completed cycle; what there is no room for is lost, and counted."""
        self._take((database, policy, turn))

    def _take(self, item: _Item) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="recording", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(item)
        except Full:
            self._overflowed += 1

    def close(self) -> None:
        """Write what waits, within a moment; a disk that does not answer does not hold up the end."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._waiting.put(None, timeout=_PATIENCE)
        except Full:  # nothing is taken any more; once something is, the rest need not be
            self._overflowed += self._empty()
            self._waiting.put_nowait(None)
        thread.join(_PATIENCE)

    def _empty(self) -> int:
        taken = 0
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
                taken += 1
        return taken

    def _work(self) -> None:
        while True:
            batch, over = self._next()
            if batch:
                self._attempt(batch)
            if over:
                self._disconnect()
                return

    def _next(self) -> tuple[list[_Item], bool]:
        """Wait for something, and take along what else waits; tell whether this was the last."""
        batch: list[_Item] = []
        item = self._waiting.get()
        with suppress(Empty):
            while item is not None:
                batch.append(item)
                if len(batch) >= _AT_ONCE:
                    return batch, False
                item = self._waiting.get_nowait()
            return batch, True
        return batch, False

    def _attempt(self, batch: Sequence[_Item]) -> None:
        try:
            self._keep_all(batch)
        except (sqlite3.Error, OSError, RecordingError) as error:
            self._disconnect()
            if file.hopeless(error) and self._begin_anew(error, batch):
                return
            self._lost += len(batch)
            self._tell(f"{self._state_dir / file.NAME}: {file.in_words(error)}")
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the recording for good
            self._disconnect()
            self._lost += len(batch)
            self._tell(f"{type(error).__name__}: {error}")
        else:
            self._recovered()

    def _begin_anew(self, error: Exception, batch: Sequence[_Item]) -> bool:
        """Set the file aside and keep the batch in a new one; tell whether that worked."""
        try:
            aside = file.set_aside(self._state_dir)
            self._keep_all(batch)
        except (sqlite3.Error, OSError, RecordingError):
            self._disconnect()
            return False
        because = f"{self._state_dir / file.NAME} {error}; it was set aside as {aside.name}, and begun anew"
        self._observer.emit(Event.RECORDING_BEGUN_ANEW, because=because)
        self._recovered()
        return True

    def _keep_all(self, batch: Sequence[_Item]) -> None:
        if shutil.disk_usage(self._state_dir).free < _LEFT_FREE:
            raise RecordingError("the disk is nearly full; what is left of it is the ledger's")
        connection = self._connected()
        readings = [self._reading(*item) for item in batch if not isinstance(item, Deposition)]
        with transaction(connection):
            for reading in readings:
                self._insert(connection, reading)
            for item in batch:
                if isinstance(item, Deposition):
                    row = self._mode.value, item.id, microseconds(item.at), pack_deposition(item)
                    connection.execute(_KEEP_DEPOSITION, row)
        if not readings:
            return
        newest = microseconds(readings[-1].sample.moment.steady)
        due = self._thinned is None or abs(newest - self._thinned) >= _THIN_EVERY
        if due or size(connection) > self._keep.size:
            thin(connection, self._keep, newest)
            self._thinned = newest
            self._surveys.forget()

    def _insert(self, connection: sqlite3.Connection, reading: Reading) -> None:
        moment, slots = reading.sample.moment, reading.sample.slots
        steady = microseconds(moment.steady)
        story = self._stories.of(connection, reading, steady)
        later = self._surveys.later(reading, steady)
        row = (
            reading.mode.value,
            reading.database,
            microseconds(moment.at),
            steady,
            slots.used if slots is not None else 0,
            story,
            int(reading.level is not reading.previous),
        )
        kept = connection.execute(_INSERT, (*row, *pack(reading, later)))
        if later is None and kept.lastrowid is not None:
            self._surveys.kept(reading, steady, kept.lastrowid)

    def _reading(self, database: str, policy: Policy, turn: Turn) -> Reading:
        known = self._marks.get(id(policy))
        if known is None or known[0] is not policy:
            if len(self._marks) >= _AT_ONCE:  # after as many reloads
                self._marks.clear()
            known = self._marks[id(policy)] = policy, fingerprint(policy)
        return reading_of(database, policy, known[1], turn, self._mode, self._run)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and not (self._state_dir / file.NAME).exists():
            self._disconnect()  # what would be written to a file without a name is lost
        if self._connection is None:
            self._connection = file.open_for_writing(self._state_dir)
            self._stories, self._surveys = Stories(), Surveys()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _tell(self, because: str) -> None:
        if not self._told:
            self._told = True
            self._observer.emit(Event.RECORDING_UNAVAILABLE, because=because)

    def _recovered(self) -> None:
        lost, self._lost = self._lost + self._overflowed, 0
        self._overflowed = 0
        if self._told:
            self._told = False
            self._observer.emit(Event.RECORDING_AVAILABLE, lost=lost)
        elif lost:
            because = f"{count(lost, 'reading')} could not be kept: the disk was too slow"
            self._observer.emit(Event.RECORDING_GAP, lost=lost, because=because)
