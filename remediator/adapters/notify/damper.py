"""Whether a notice is news to somebody: the same fact is told once, and what flaps is told now and then."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from remediator.core.notice import Kind, Notice, Tone

FLAPS_WITHIN = 600.0
"""Seconds from one alarm about a trouble to the next, when good news came in between."""

_ALARMS = {
    "incident": frozenset({Kind.OPENED, Kind.RELAPSED, Kind.HELD, Kind.SUSPENDED}),
    "evidence": frozenset({Kind.EVIDENCE_LOST, Kind.EVIDENCE_OVERDUE}),
    "ledger": frozenset({Kind.LEDGER_UNAVAILABLE}),
    "rival": frozenset({Kind.STANDING_BY}),
}
_SPARED = frozenset({Kind.HELD, Kind.SUSPENDED, Kind.OPENED})
_OLDEST = timedelta(days=31).total_seconds()

Facts = dict[str, dict[str, float]]
"""Of each trouble the facts that were told, and when: seconds of the wall clock."""


class Verdict(Enum):
    """What becomes of a notice."""

    NEWS = "news"
    REMINDER = "reminder"
    KNOWN = "known"


@dataclass(slots=True)
class Damper:
    """Decides for one target.

    Attributes:
        facts: What it was told of troubles that are not over; survives a restart.
        changed: Whether that is to be kept anew.
    """

    kinds: Collection[Kind]
    databases: Collection[str]
    remind_every: timedelta | None
    facts: Facts = field(default_factory=dict)
    changed: bool = False
    _alarmed: dict[str, float] = field(default_factory=dict)
    _deferred: dict[str, Notice] = field(default_factory=dict)

    def judge(self, notice: Notice, mono: float) -> Verdict:
        """Judge a notice; one that is to be told counts as told.

        Args:
            notice: The notice.
            mono: Now, on the monotonic clock.
        """
        if notice.database and self.databases and notice.database not in self.databases:
            return Verdict.KNOWN
        if notice.kind.tone is Tone.CALM:
            return self._calm(notice)
        if notice.kind not in self.kinds:
            if not _ALARMS.get(notice.about.partition(" ")[0], frozenset()).intersection(self.kinds):
                self._remember(notice, mono)  # of such trouble only the good news is wanted
            return Verdict.KNOWN
        if notice.kind is Kind.ACTED:
            self._remember(notice, mono)  # the good news that follows is wanted, though it may be known
            return Verdict.NEWS
        return self._alarm(notice, mono) if notice.fact else Verdict.NEWS

    def due(self, mono: float) -> list[Notice]:
        """What was put off because it flapped, has lasted since, and is told now after all."""
        ready = [n for about, n in self._deferred.items() if self._alarmed[about] + FLAPS_WITHIN <= mono]
        for notice in ready:
            del self._deferred[notice.about]
            self._remember(notice, mono)
        return ready

    @property
    def next_due(self) -> float:
        """When something that was put off will be told, on the monotonic clock."""
        return min((self._alarmed[about] + FLAPS_WITHIN for about in self._deferred), default=float("inf"))

    def _alarm(self, notice: Notice, mono: float) -> Verdict:
        known, now = self.facts.get(notice.about, {}), notice.at.timestamp()
        last = known.get(notice.fact)
        if last is not None:
            # A clock that was set back must not put off reminders for as long.
            known[notice.fact] = last = min(last, now)
            if self.remind_every is None or now - last < self.remind_every.total_seconds():
                return Verdict.KNOWN
            known[notice.fact], self.changed = now, True
            return Verdict.REMINDER
        flaps = not known and mono - self._alarmed.get(notice.about, float("-inf")) < FLAPS_WITHIN
        if flaps and notice.kind not in _SPARED:
            self._deferred[notice.about] = notice
            return Verdict.KNOWN
        self._deferred.pop(notice.about, None)
        self._remember(notice, mono)
        return Verdict.NEWS

    def _calm(self, notice: Notice) -> Verdict:
        self._deferred.pop(notice.about, None)
        troubled = self.facts.pop(notice.about, None) is not None
        self.changed |= troubled
        if notice.kind is Kind.CLOSED:
            wanted = notice.kind in self.kinds or (troubled and Kind.RELIEVED in self.kinds)
        else:
            wanted = notice.kind in self.kinds and troubled
        return Verdict.NEWS if wanted else Verdict.KNOWN

    def _remember(self, notice: Notice, mono: float) -> None:
        if not notice.fact:
            return
        now = notice.at.timestamp()
        self.facts.setdefault(notice.about, {})[notice.fact] = now
        self._alarmed[notice.about], self.changed = mono, True
        for about in [a for a, m in self._alarmed.items() if mono - m > FLAPS_WITHIN]:
            if about not in self._deferred:
                del self._alarmed[about]
        old = [about for about, told in self.facts.items() if now - max(told.values()) > _OLDEST]
        for about in old:
            del self.facts[about]
