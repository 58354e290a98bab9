"""What is kept of the last hours to be shown, in bounded space."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from remediator.core.events import Event
from remediator.core.model import Level
from remediator.core.policy import Policy
from remediator.core.turn import Turn
from remediator.ports import Clock

# Readings closer together than this tell nothing more on a screen.
_APART = timedelta(seconds=1)
_BUCKET = timedelta(minutes=1)
_FINE = 900
_COARSE = 24 * 60
_TOLD = 400

# What is part of an incident's story and not, or not for as long, in the ledger.
_STORY = frozenset(
    {
        Event.LEVEL_CHANGED,
        Event.EVIDENCE_LOST,
        Event.EVIDENCE_REGAINED,
        Event.SERVER_CHANGED,
        Event.SERVER_RESTARTED,
        Event.INCIDENT_RELAPSED,
        Event.LADDER_CHANGED,
        Event.PLAN_MADE,
        Event.STEP_SETTLING,
        Event.INCIDENT_RELIEVED,
        Event.INCIDENT_HELD,
        Event.INCIDENT_SUSPENDED,
        Event.INCIDENT_CLOSED,
        Event.LOCKED,
        Event.MAINTENANCE_BEGUN,
        Event.MAINTENANCE_OVER,
        Event.STANDING_BY,
        Event.TAKING_OVER,
        Event.LEDGER_UNAVAILABLE,
        Event.LEDGER_AVAILABLE,
    }
)


# What follows from a sample, before anything is done about it: it counts as said when that was taken.
_OF_SAMPLE = frozenset(
    {
        Event.LEVEL_CHANGED,
        Event.EVIDENCE_LOST,
        Event.EVIDENCE_REGAINED,
        Event.INCIDENT_RELAPSED,
        Event.PLAN_MADE,
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One point of the chart.

    Attributes:
        used: None while it was not known.
    """

    at: datetime
    used: int | None
    usable: int | None
    level: Level


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a database, and when it was said."""

    at: datetime
    event: Event
    fields: Mapping[str, object]


@dataclass(slots=True)
class Remembered:
    """What is known of one database.

    Attributes:
        turn: The newest completed cycle's.
        completed: How many cycles were completed.
        fine: The newest readings.
        coarse: Of older ones the fullest of each minute.
        told: The newest events of its story.
        fresh: Those of a cycle that is not completed yet.
    """

    policy: Policy | None = None
    turn: Turn | None = None
    completed: int = 0
    fine: deque[Reading] = field(default_factory=lambda: deque(maxlen=_FINE))
    coarse: deque[Reading] = field(default_factory=lambda: deque(maxlen=_COARSE))
    told: deque[Told] = field(default_factory=lambda: deque(maxlen=_TOLD))
    fresh: list[Told] = field(default_factory=list)

    def recall(self, older: Sequence[Reading]) -> None:
        """Put readings from before the start in front of those that there are."""
        first = self.coarse[0].at if self.coarse else None
        known = [reading for reading in older if first is None or reading.at < first]
        self.coarse = deque([*known, *self.coarse], maxlen=_COARSE)

    def conclude(self, at: datetime) -> None:
        """Put what was said during a cycle, whose sample was taken at this time, into its place."""
        for told in self.fresh:
            self.told.append(replace(told, at=min(at, told.at)) if told.event in _OF_SAMPLE else told)
        self.fresh.clear()

    @property
    def readings(self) -> Sequence[Reading]:
        """All readings kept, oldest first."""
        first = self.fine[0].at if self.fine else None
        older = (r for r in self.coarse if first is None or r.at < first)
        return [*older, *self.fine]

    def read(self, reading: Reading) -> None:
        """Keep a reading."""
        last = self.fine[-1] if self.fine else None
        if last is not None and timedelta(0) <= reading.at - last.at < _APART and last.level is reading.level:
            return
        self.fine.append(reading)
        kept = self.coarse[-1] if self.coarse else None
        if kept is None or not timedelta(0) <= reading.at - kept.at < _BUCKET:
            self.coarse.append(reading)
        elif (reading.used or 0) > (kept.used or 0):
            self.coarse[-1] = Reading(kept.at, reading.used, reading.usable, max(kept.level, reading.level))


class Memory:
    """Follows the cycles, and remembers what a page shows of them.

    Args:
        clock: When something was said.
        databases: Those that are watched.
    """

    def __init__(self, clock: Clock, databases: Sequence[str]) -> None:
        self._clock = clock
        self.databases = {name: Remembered() for name in databases}

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Take note of a completed cycle."""
        known = self.databases.setdefault(database, Remembered())
        known.policy, known.turn = policy, turn
        known.completed += 1
        sample = turn.assessment.sample
        used, usable = (sample.slots.used, sample.slots.usable) if sample.slots else (None, None)
        known.conclude(sample.moment.at)
        known.read(Reading(sample.moment.at, used, usable, turn.assessment.level))

    def emit(self, event: Event, **fields: object) -> None:
        """Take note of an event that belongs to a story."""
        name = fields.get("database")
        if event in _STORY and isinstance(name, str) and name in self.databases:
            fresh = self.databases[name].fresh
            fresh.append(Told(self._clock.now().at, event, fields))
            del fresh[:-_TOLD]
