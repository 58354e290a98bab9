"""Puts a page's values together when somebody asks, from memory and the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.course import held_by
from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident
from remediator.core.model import Level, Mode
from remediator.core.policy import Policy
from remediator.core.turn import Turn
from remediator.errors import LedgerError, RecordingError
from remediator.ports import Clock, History, LedgerStore
from remediator.status import chart as charts
from remediator.status import stories, views
from remediator.status.archive import Archive, Recount
from remediator.status.doing import doing
from remediator.status.memory import Memory, Point, Remembered

_BACK = timedelta(days=7)
_SHOWN = 10
_LISTED = 500
_LIST_EVERY = 60.0
_OLD_AFTER = 1.0
_FORESEE_EVERY = 15.0
_WATCHED_FOR = 60.0

Standings = Callable[[], Awaitable[Mapping[str, Standing]]]
Recall = Callable[[str, datetime], Awaitable[Sequence[Point]]]
Foresee = Callable[[str, Assessment], Awaitable[Turn]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a page says of the daemon itself.

    Attributes:
        config: The effective configuration as text, secrets masked.
    """

    mode: Mode
    version: str
    source: str
    config: str


@dataclass(slots=True)
class _Foreseen:
    """A look ahead: the newest, and the one under way."""

    ahead: views.Ahead | None = None
    begun: float | None = None
    task: asyncio.Task[None] | None = None


class Desk:
    """Knows what to show. What it reads is read again after a second at the earliest.

    Args:
        facts: What does not change while the daemon runs.
        memory: What is remembered of the last hours.
        store: The ledger.
        standings: Reads what is in force for each database; raises LedgerError.
        foresee: Plans as if critical were confirmed, on a sample that was taken; raises LedgerError.
        recall: Reads what was recorded of a database before a time; raises RecordingError.
        recount: Tells what was recorded of an incident; raises RecordingError.
        clock: The time.
    """

    def __init__(
        self,
        facts: Callable[[], Facts],
        memory: Memory,
        store: LedgerStore,
        standings: Standings,
        foresee: Foresee,
        recall: Recall,
        recount: Recount,
        clock: Clock,
    ) -> None:
        self._facts = facts
        self.memory = memory
        self._store = store
        self._standings = standings
        self._foresee = foresee
        self._recall = recall
        self._recalling: asyncio.Task[None] | None = None
        self._archive = Archive(recount)
        self._clock = clock
        self._asked: float | None = None
        self._read_at: float | None = None
        self._history: History = ((), ())
        self._changed = True
        self._listed_at: float | None = None
        self._wanted = ""
        self._in_force: Mapping[str, Standing] = {}
        self._trouble = ""
        self._foreseen: dict[str, _Foreseen] = {}
        self._reading = asyncio.Lock()

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Take note of a completed cycle; between two of them, while somebody looks, look ahead."""
        self.memory.completed(database, policy, turn)
        now = self._clock.now().mono
        watched = self._asked is not None and now - self._asked <= _WATCHED_FOR
        known = self._foreseen.setdefault(database, _Foreseen())
        if not watched or turn.assessment.sample.slots is None:
            known.ahead, known.begun = None, None  # whoever looks next must not take it for news
        if not watched:
            return
        if turn.plan is not None:
            known.ahead = views.ahead(turn.plan, turn.assessment.sample.moment.at, assumed=False)
            known.begun = None
        elif known.begun is None or now - known.begun > _FORESEE_EVERY:
            self._look_ahead(database, turn.assessment, known, now)

    def emit(self, event: Event, **fields: object) -> None:  # noqa: ARG002  the observer's signature
        """Take note of an event: after most of them the ledger has something new."""
        self._changed = self._changed or event is not Event.CYCLE

    def _look_ahead(self, database: str, assessment: Assessment, known: _Foreseen, now: float) -> None:
        """Begin a look ahead, unless one is under way or the checks have better things to do."""
        busy = assessment.level is Level.CRITICAL or assessment.pending is Level.CRITICAL
        if busy or assessment.sample.slots is None or (known.task is not None and not known.task.done()):
            return

        async def look() -> None:
            with suppress(LedgerError):
                turn = await self._foresee(database, assessment)
                if turn.plan is not None:
                    known.ahead = views.ahead(turn.plan, assessment.sample.moment.at, assumed=True)

        known.begun = now
        known.task = asyncio.get_running_loop().create_task(look())

    async def page(self) -> Mapping[str, Any]:
        """Everything that the page shows."""
        await self._refresh()
        now = self._clock.now().at
        told = self._stories(now)
        return {
            **self._common(now),
            "databases": [self._view(name, known, told, now) for name, known in self._known()],
            "waiting": [name for name, known in self.memory.databases.items() if known.turn is None],
            "stories": told[:_SHOWN],
            "more": max(0, len(told) - _SHOWN),
        }

    async def incident(self, identity: str) -> Mapping[str, Any] | None:
        """What the page of one incident shows, None when it is not known."""
        await self._refresh(identity)
        now = self._clock.now().at
        found = self._stories(now, _LISTED, lambda one: one.id == identity)
        return {**self._common(now), "story": found[0]} if found else None

    async def series(self, database: str) -> Mapping[str, Any] | None:
        """The numbers of a database's chart, None when it is not known."""
        known = self.memory.databases.get(database)
        if known is None:
            return None
        await self._refresh()
        told = self._stories(self._clock.now().at, 0, lambda one: one.database == database)
        return charts.series(known.points, stories.marks(told), known.policy)

    async def _refresh(self, wanted: str = "") -> None:
        """Read the ledger, unless that was done just now; whoever waits for it gets the same.

        Args:
            wanted: The incident of which all is to be read, too.
        """
        async with self._reading:
            now = self._clock.now()
            self._asked = now.mono
            if self._recalling is None:  # not at the start, which has better things to do
                self._recalling = asyncio.create_task(self._remember(now.at))
            if wanted and wanted != self._wanted:
                self._wanted, self._changed, self._read_at = wanted, True, None
            if self._read_at is not None and now.mono - self._read_at < _OLD_AFTER:
                return
            self._read_at = now.mono
            try:
                if self._changed or self._listed_at is None or now.mono - self._listed_at > _LIST_EVERY:
                    self._changed = False  # what happens meanwhile may be missing, and is read the next time
                    self._history = await self._store.history(now.at - _BACK, _SHOWN, self._wanted)
                    self._listed_at = now.mono
                self._in_force = await self._standings()
                self._trouble = ""
            except LedgerError as error:
                self._trouble, self._changed = str(error), True
            except BaseException:  # whoever asked has left, or it is a fault of ours: read it the next time
                self._changed, self._read_at = True, None
                raise
            shown = list(self._history[0][-_SHOWN:])
            shown += [one for one in self._history[0] if one.id == self._wanted]
            self._archive.look_up([one for one in shown if self._older(one)])

    def _older(self, incident: Incident) -> bool:
        """Tell whether an incident began before what is remembered."""
        known = self.memory.databases.get(incident.database)
        since = known.whole_since if known is not None else None
        return since is not None and incident.opened_at < since

    async def _remember(self, until: datetime) -> None:
        for name, known in self.memory.databases.items():
            with suppress(RecordingError):  # told by the one that records
                known.recall(await self._recall(name, until))

    def _known(self) -> list[tuple[str, Remembered]]:
        return [(name, known) for name, known in self.memory.databases.items() if known.turn is not None]

    def _common(self, now: datetime) -> dict[str, Any]:
        first = next(iter(self._in_force.values()), None)
        windows = {
            name: known.turn.maintenance.text
            for name, known in self._known()
            if known.turn is not None and known.turn.maintenance is not None
        }
        return {
            "facts": self._facts(),
            "now": now,
            "dry": self._facts().mode is Mode.DRY_RUN,
            "trouble": self._trouble,
            "pause": first.pause if first else None,
            "locks": first.locks if first else (),
            "windows": windows,
        }

    def _stories(
        self, now: datetime, most: int = 25, wanted: Callable[[Incident], bool] = lambda _: True
    ) -> list[stories.Story]:
        """Incidents, newest first, each with so many sessions of those terminated together."""
        incidents, entries = self._history
        by_incident: dict[str, list[Entry]] = {}
        for entry in entries:
            by_incident.setdefault(entry.intent.incident, []).append(entry)
        mode = self._facts().mode
        told = [
            stories.story(
                one,
                by_incident.get(one.id, []),
                self.memory.databases.get(one.database),
                self._archive.known(one),
                mode,
                now,
                most,
                self._held(one.database),
            )
            for one in incidents
            if wanted(one)
        ]
        return sorted(told, key=lambda one: one.opened_at, reverse=True)

    def _held(self, database: str) -> str:
        """What keeps anything from being done for a database now."""
        known = self.memory.databases.get(database)
        turn = known.turn if known is not None else None
        return held_by(database, self._in_force.get(database), turn.maintenance if turn else None)

    def _view(self, name: str, known: Remembered, told: Sequence[stories.Story], now: datetime) -> views.View:
        turn, policy = known.turn, known.policy
        if turn is None or policy is None:
            raise AssertionError("only databases that were looked at are shown")
        own = [one for one in told if one.database == name]
        current = turn.incident.id if turn.incident else None
        story = next((one for one in own if one.id == current), None)
        standing = self._in_force.get(name)
        foreseen = self._foreseen.get(name)
        return views.view(
            name,
            policy,
            turn,
            charts.chart(known.points, stories.marks(own), policy, now),
            foreseen.ahead if foreseen else None,
            views.budgets(standing) if standing else (),
            doing(turn, standing, self._facts().mode, story),
            now,
        )
