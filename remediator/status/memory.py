"""What is kept of the last hours to be shown, in bounded space."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from remediator.core.model import Level, Mode
from remediator.core.policy import Policy
from remediator.core.reading import Reading, reading_of
from remediator.core.scene import Kind, Scene
from remediator.core.story import changes
from remediator.core.turn import Turn

# Readings closer together than this tell nothing more on a screen.
_APART = timedelta(seconds=1)
_BUCKET = timedelta(minutes=1)
_FINE = 900
_COARSE = 24 * 60
_TOLD = 400


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the chart.

    Attributes:
        used: None while it was not known.
    """

    at: datetime
    used: int | None
    usable: int | None
    level: Level


@dataclass(slots=True)
class Remembered:
    """What is known of one database.

    Attributes:
        turn: The newest completed cycle's.
        completed: How many cycles were completed.
        fine: The newest points.
        coarse: Of older ones the fullest of each minute.
        scenes: What happened, the newest scenes.
        first: When the first cycle was.
        newest: The newest cycle as it is recorded, without what is large.
    """

    policy: Policy | None = None
    turn: Turn | None = None
    completed: int = 0
    fine: deque[Point] = field(default_factory=lambda: deque(maxlen=_FINE))
    coarse: deque[Point] = field(default_factory=lambda: deque(maxlen=_COARSE))
    scenes: deque[Scene] = field(default_factory=lambda: deque(maxlen=_TOLD))
    first: datetime | None = None
    newest: Reading | None = None

    def recall(self, older: Sequence[Point]) -> None:
        """Put points from before the start in front of those that there are."""
        first = self.coarse[0].at if self.coarse else None
        known = sorted((p for p in older if first is None or p.at < first), key=lambda p: p.at)
        self.coarse = deque([*known, *self.coarse], maxlen=_COARSE)

    def tell(self, recorded: Reading) -> None:
        """Take note of what has happened since the cycle before."""
        told = changes(self.newest, recorded)
        if self.newest is None:
            self.first = recorded.at
            if recorded.incident is not None:  # the level was what it is before we began
                told = (scene for scene in told if scene.kind is not Kind.LEVEL)
        self.scenes.extend(told)
        self.newest = replace(recorded, survey=None)

    @property
    def whole_since(self) -> datetime | None:
        """Since when all that happened is remembered, None when nothing is."""
        return self.scenes[0].at if len(self.scenes) == _TOLD else self.first

    @property
    def points(self) -> Sequence[Point]:
        """All points kept, oldest first."""
        first = self.fine[0].at if self.fine else None
        older = (r for r in self.coarse if first is None or r.at < first)
        return [*older, *self.fine]

    def read(self, point: Point) -> None:
        """Keep a point. After a clock was set back those of the time that comes again make way for it."""
        for kept_so_far in (self.fine, self.coarse):
            while kept_so_far and kept_so_far[-1].at > point.at:
                kept_so_far.pop()
        last = self.fine[-1] if self.fine else None
        if last is not None and point.at - last.at < _APART and last.level is point.level:
            return
        self.fine.append(point)
        kept = self.coarse[-1] if self.coarse else None
        if kept is None or point.at - kept.at >= _BUCKET:
            self.coarse.append(point)
        elif (point.used or 0) > (kept.used or 0):
            self.coarse[-1] = Point(kept.at, point.used, point.usable, max(kept.level, point.level))


class Memory:
    """Follows the cycles, and remembers what a page shows of them.

    Args:
        databases: Those that are watched.
        mode: Whose cycles these are.
    """

    def __init__(self, databases: Sequence[str], mode: Mode) -> None:
        self.databases = {name: Remembered() for name in databases}
        self._mode = mode

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Take note of a completed cycle."""
        known = self.databases.setdefault(database, Remembered())
        known.policy, known.turn = policy, turn
        known.completed += 1
        sample = turn.assessment.sample
        used, usable = (sample.slots.used, sample.slots.usable) if sample.slots else (None, None)
        known.tell(reading_of(database, policy, "", turn, self._mode, ""))
        known.read(Point(sample.moment.at, used, usable, turn.assessment.level))
