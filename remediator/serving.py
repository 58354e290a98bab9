"""Puts together what is served over HTTP; imported only where the config asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from remediator import __version__
from remediator.adapters.everyone import Everyone
from remediator.adapters.metrics import CONTENT_TYPE, Metrics
from remediator.adapters.recording import SqliteRecording
from remediator.adapters.web import Board, Sources, WebServer, make_app
from remediator.config import Settings, WebSettings, show
from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.events import Event
from remediator.core.model import Mode
from remediator.core.scene import Scene
from remediator.core.turn import Turn
from remediator.cycle import Cycle, read_standing
from remediator.errors import LedgerError
from remediator.ports import Clock, LedgerStore, Supervisor
from remediator.status import Desk, Facts, Memory, Point, told_by

_BACK = timedelta(days=1)
_POINTS = 720

Standings = Callable[[], Awaitable[Mapping[str, Standing]]]


class Pulse:
    """Passes signs of life on, and remembers them for `/healthz` and `/readyz`.

    Args:
        watched: Who is told of them.
        clock: For how long there was none.
        databases: Those that are checked.
    """

    def __init__(self, watched: Supervisor, clock: Clock, databases: Sequence[str]) -> None:
        self._watched = watched
        self._clock = clock
        self._unseen = dict.fromkeys(databases)
        self._longest_silence = timedelta(0)
        self._alive_at: float | None = None
        self._stalled: tuple[str, ...] = ()
        self._stopping = False

    def ready(self, longest_silence: timedelta) -> None:
        """Take note that checking has begun."""
        self._longest_silence = longest_silence
        self._alive_at = self._clock.now().mono
        self._watched.ready(longest_silence)

    def alive(self) -> None:
        """Take note that every database's checks complete."""
        self._alive_at, self._stalled = self._clock.now().mono, ()
        self._watched.alive()

    def stalled(self, databases: Sequence[str]) -> None:
        """Take note that checks of these do not complete."""
        self._stalled = tuple(databases)
        self._watched.stalled(databases)

    def stopping(self) -> None:
        """Take note of the end."""
        self._stopping = True
        self._watched.stopping()

    def emit(self, event: Event, **fields: Any) -> None:
        """Take note of a completed check."""
        if event is Event.CYCLE:
            self._unseen.pop(fields["database"], None)

    def trouble(self) -> str:
        """What is wrong with the checks as such, empty when nothing is."""
        if self._stalled:
            return f"no check of {', '.join(self._stalled)} is completed"
        silent = self._clock.now().mono - (self._alive_at or 0.0)
        if self._alive_at is not None and silent > self._longest_silence.total_seconds():
            return f"no check is completed since {silent:.0f} s"
        return ""

    def unready(self) -> str:
        """What the daemon has not done yet, empty once every database was looked at."""
        if self._stopping:
            return "stopping"
        return f"not checked yet: {', '.join(self._unseen)}" if self._unseen else ""


@dataclass(slots=True)
class Shown:
    """What is shown, read where it is.

    Attributes:
        cycles: Those that check the databases.
        settings: Gives those in force.
    """

    mode: Mode
    cycles: Sequence[Cycle]
    store: LedgerStore
    clock: Clock
    settings: Callable[[], Settings]
    _known: tuple[Settings, Facts] | None = field(default=None, init=False)

    async def standings(self) -> Mapping[str, Standing]:
        """Read what is in force for each database.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        now = self.clock.now()
        return {
            cycle.database.name: await read_standing(self.store, cycle.database.name, cycle.policy, now)
            for cycle in self.cycles
        }

    async def foresee(self, database: str, assessment: Assessment) -> Turn:
        """Plan as if critical were confirmed by a sample that was taken.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        (cycle,) = (cycle for cycle in self.cycles if cycle.database.name == database)
        return await cycle.foresee(assessment)

    async def recall(self, database: str, until: datetime) -> Sequence[Point]:
        """Read what was recorded of a database within the day before a time, thinned.

        Raises:
            RecordingError: It cannot be read.
        """
        recording = SqliteRecording(self.settings().state_dir, self.mode)
        try:
            found = await recording.readings(database, until - _BACK, until, _POINTS)
        finally:
            await recording.close()
        return [
            Point(r.at, slots.used if slots else None, slots.usable if slots else None, r.level)
            for r in found
            for slots in (r.sample.slots,)
        ]

    async def recount(self, incident: str) -> Sequence[Scene]:
        """Tell what was recorded of an incident.

        Raises:
            RecordingError: It cannot be read.
        """
        recording = SqliteRecording(self.settings().state_dir, self.mode)
        try:
            return await told_by(recording.story(incident, surveys=False))
        finally:
            await recording.close()

    def facts(self) -> Facts:
        """What the page says of the daemon itself."""
        settings = self.settings()
        if self._known is None or self._known[0] is not settings:  # writing YAML takes its time
            facts = Facts(self.mode, __version__, str(settings.source), show(settings, arguments=False))
            self._known = settings, facts
        return self._known[1]


class Measures:
    """The metrics, with what is in force read anew for each scrape.

    Args:
        metrics: What events have made of them.
        standings: Reads what is in force for each database; raises LedgerError.
    """

    def __init__(self, metrics: Metrics, standings: Standings) -> None:
        self._metrics = metrics
        self._standings = standings

    async def __call__(self) -> bytes:
        """Everything in Prometheus' text format."""
        with suppress(LedgerError):  # which has a metric of its own
            for database, standing in (await self._standings()).items():
                self._metrics.standing(database, standing)
        return self._metrics.exposition()


def serve(settings: WebSettings, observer: Everyone, pulse: Pulse, shown: Shown) -> tuple[WebServer, Desk]:
    """Make what serves the page and the metrics, and what has to follow the cycles for them.

    Args:
        settings: Where, and under which names.
        observer: Tells what happens, and is told what happens to the server.
        pulse: Knows whether checks complete.
        shown: What is shown.
    """
    clock = shown.clock
    metrics = Metrics(clock)
    memory = Memory([cycle.database.name for cycle in shown.cycles], shown.mode)
    desk = Desk(
        shown.facts,
        memory,
        shown.store,
        shown.standings,
        shown.foresee,
        shown.recall,
        shown.recount,
        clock,
    )
    for listener in (metrics, pulse, desk):
        observer.join(listener)
    sources = Sources(
        metrics=Measures(metrics, shown.standings),
        metrics_type=CONTENT_TYPE,
        alive=pulse.trouble,
        ready=pulse.unready,
        board=Board(desk.page, desk.incident, desk.series),
    )
    app = make_app(sources, settings.allowed_hosts, observer, clock)
    return WebServer(app, settings.host, settings.port, observer), desk
