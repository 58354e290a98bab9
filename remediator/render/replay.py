"""What a replay shows, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from remediator.core.reading import Reading
from remediator.core.scene import Scene
from remediator.core.story import Row
from remediator.core.text import count, duration
from remediator.render.layout import beside, wrapped

_WIDTH = 44
_WHEN = "%m-%d %H:%M:%S"
# Every reading is kept for a day; older ones are thinned out.
_GAP = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Span:
    """What readings were replayed.

    Attributes:
        number: How many.
        gaps: How often nothing was recorded for long.
        policies: The policies that were in force, by name and fingerprint.
        cutoffs: The idle ages by which they counted.
        latest: When the last one was, on the ledger's clock.
    """

    number: int = 0
    first: datetime | None = None
    last: datetime | None = None
    gaps: int = 0
    policies: tuple[tuple[str, str], ...] = ()
    cutoffs: frozenset[timedelta] = frozenset()
    latest: datetime | None = None

    def with_next(self, reading: Reading) -> Span:
        """The span with one more reading, the next one."""
        steady = reading.sample.moment.steady
        gap = self.latest is not None and steady - self.latest > _GAP
        policy = reading.policy, reading.fingerprint
        return Span(
            self.number + 1,
            self.first or reading.at,
            reading.at,
            self.gaps + gap,
            self.policies if policy in self.policies else (*self.policies, policy),
            self.cutoffs.union(reading.cutoffs),
            steady,
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """One database's replay.

    Attributes:
        span: What was replayed.
        policy: The name of the policy that was tried, and its fingerprint.
        cutoffs: The idle ages that this policy counts by.
        rows: What differs and what does not.
        damaged: How many readings of any database could not be read.
    """

    database: str
    span: Span
    policy: tuple[str, str]
    cutoffs: tuple[timedelta, ...]
    rows: tuple[Row, ...]
    damaged: int = 0

    @property
    def differs(self) -> bool:
        """Whether anything would have been decided otherwise."""
        return not all(row.decided_alike for row in self.rows)

    @property
    def guessed(self) -> bool:
        """Whether the numbers of sessions acted on are guesses somewhere."""
        return any(scene.about for row in self.rows for scene in (*row.then, *row.now))


def caveats(replayed: Replayed) -> Iterator[str]:
    """Say what this replay does not know."""
    span = replayed.span
    if span.gaps:
        yield f"{count(span.gaps, 'gap')} of more than {duration(_GAP)} in the recording"
    if replayed.damaged:
        yield f"{count(replayed.damaged, 'reading')} could not be read and are left out"
    missing = [duration(cutoff) for cutoff in replayed.cutoffs if cutoff not in span.cutoffs]
    if missing and span.number:
        yield (
            f"sessions were not counted by an idle age of {', '.join(missing)} then: those known to be so "
            "old count, others may be missing"
        )
    if replayed.guessed:
        yield "'about': sessions were counted then, but not read one by one"
    if replayed.differs:
        yield "the recorded world did not react to this policy: what follows its first act is a guess"


def replay_lines(replayed: Replayed) -> Iterator[str]:
    """A replay for people, in two columns."""
    span = replayed.span
    if span.first is None or span.last is None:
        yield f"{replayed.database}: nothing was recorded in this time"
        yield from (f"  note: {caveat}" for caveat in caveats(replayed))
        return
    policies = ", ".join(dict.fromkeys(name for name, _ in span.policies))
    yield (
        f"{replayed.database}: {count(span.number, 'reading')} from {_utc(span.first)} "
        f"to {_utc(span.last)} UTC"
    )
    yield f"{'':>16}{f'then: {policies}':<{_WIDTH}}  now: {replayed.policy[0]}"
    for row in replayed.rows:
        yield from _row_lines(row)
    if not replayed.rows:
        yield "  nothing happened, and nothing would have"
    for caveat in caveats(replayed):
        yield f"  note: {caveat}"
    verdict = "the policies decide differently" if replayed.differs else "the policies decide the same"
    yield f"{replayed.database}: {verdict}"


def _row_lines(row: Row) -> Iterator[str]:
    mark = "=" if row.same else "!"
    then, now = _column(row.then), _column(row.now)
    for number, line in enumerate(beside((then, now), (_WIDTH, _WIDTH))):
        when = f"{row.at.astimezone(UTC):{_WHEN}}" if number == 0 else ""
        yield f"{when:<14}{mark} {line}".rstrip()


def _column(scenes: Iterable[Scene]) -> list[str]:
    lines: list[str] = []
    for scene in scenes:
        text = f"{scene.text}: {scene.because}" if scene.because else scene.text
        lines += wrapped(text, _WIDTH)
    return lines or ["-"]


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def replay_record(replayed: Replayed) -> dict[str, Any]:
    """A replay for programs."""
    span = replayed.span
    name, mark = replayed.policy
    return {
        "database": replayed.database,
        "readings": span.number,
        "since": span.first.isoformat() if span.first else None,
        "until": span.last.isoformat() if span.last else None,
        "then": [{"policy": p, "fingerprint": f} for p, f in sorted(span.policies)],
        "now": {"policy": name, "fingerprint": mark},
        "differs": replayed.differs,
        "notes": list(caveats(replayed)),
        "moments": [_row_record(row) for row in replayed.rows],
    }


def _row_record(row: Row) -> dict[str, Any]:
    return {
        "at": row.at.isoformat(),
        "same": row.same,
        "then": [scene_record(scene) for scene in row.then],
        "now": [scene_record(scene) for scene in row.now],
    }


def scene_record(scene: Scene) -> dict[str, Any]:
    """A scene for programs."""
    return {
        "kind": scene.kind.value,
        "text": scene.text,
        "because": scene.because,
        "targets": list(scene.targets),
        "results": dict(scene.results),
        "about": scene.about,
    }
