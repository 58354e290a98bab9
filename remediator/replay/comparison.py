"""What two policies made of the same time, told while it is replayed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from remediator.core.ledger import Entry
from remediator.core.policy import Policy
from remediator.core.reading import Reading, fingerprint
from remediator.core.scene import Kind, Scene
from remediator.core.story import changes, deeds, in_order, side_by_side, until
from remediator.render import Replayed, Span

# What was merely intended, or waited for, would fill both columns.
_LEFT_OUT = frozenset({Kind.PLANNED, Kind.WAITING})


@dataclass(slots=True)
class _Side:
    """One of the two stories."""

    newest: Reading | None = None
    scenes: list[Scene] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None

    def read(self, reading: Reading) -> None:
        """Go on with the next reading."""
        self.scenes += (scene for scene in changes(self.newest, reading) if scene.kind not in _LEFT_OUT)
        self.newest = reading
        self.first = self.first or reading.at
        self.last = max(self.last or reading.at, until(reading))

    def told(self, database: str, entries: Iterable[Entry]) -> tuple[Scene, ...]:
        """The whole story, with what was done."""
        if self.first is None or self.last is None:
            return ()
        return in_order(self.scenes, deeds(database, entries, self.first, self.last))


class Comparison:
    """Tells both stories of one database; of the readings only the newest is kept.

    Args:
        database: Its name.
        policy: The policy that is tried.
        since: What was before is replayed, but not shown.
    """

    def __init__(self, database: str, policy: Policy, since: datetime) -> None:
        self._database = database
        self._policy = policy
        self._since = since
        self._then, self._now = _Side(), _Side()
        self._span = Span()

    def read(self, then: Reading, now: Reading) -> None:
        """Go on with what was recorded, and with what came of it by the policy that is tried."""
        self._then.read(then)
        self._now.read(now)
        if then.at >= self._since:
            self._span = self._span.with_next(then)

    def told(self, then: Iterable[Entry], now: Iterable[Entry], damaged: int = 0) -> Replayed:
        """Both stories side by side.

        Args:
            then: What was done then.
            now: What would have been done.
            damaged: How many readings could not be read.
        """
        policy = self._policy
        rows = side_by_side(self._then.told(self._database, then), self._now.told(self._database, now))
        return Replayed(
            database=self._database,
            span=self._span,
            policy=(policy.name, fingerprint(policy)),
            cutoffs=policy.cutoffs,
            rows=tuple(row for row in rows if row.at >= self._since),
            damaged=damaged,
        )
