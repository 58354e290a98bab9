"""The last hours as a picture that needs no script, and as numbers for one that does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remediator.core.model import Level
from remediator.core.policy import Policy
from remediator.status.memory import Point

WIDTH, HEIGHT = 960.0, 180.0
_SHORTEST = timedelta(minutes=2)
_TABLE = 12


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, on the chart.

    Attributes:
        kind: `incident`, `act`, `restart`, `hold`, `relief`.
    """

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Band:
    """What part of the usable slots belongs to a level, as ratios."""

    level: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture in SVG's terms.

    Attributes:
        lines: Stretches without gaps, as the points of a polyline.
        bands: Level, top and height.
        marks: Kind, position, words.
        times: Position and words, for the axis.
        heights: Position and words, for the axis.
        rows: The newest readings, newest first.
    """

    lines: Sequence[str]
    bands: Sequence[tuple[str, float, float]]
    marks: Sequence[tuple[str, float, str]]
    times: Sequence[tuple[float, str]]
    heights: Sequence[tuple[float, str]]
    rows: Sequence[Point]
    span: timedelta

    @property
    def width(self) -> float:
        """Of the picture."""
        return WIDTH

    @property
    def height(self) -> float:
        """Of the picture."""
        return HEIGHT


def bands(policy: Policy | None) -> tuple[Band, ...]:
    """The levels' parts of the usable slots, lowest first."""
    limits = [(Level.NORMAL.label, 0.0)]
    for level, rule in sorted((policy.levels if policy else {}).items()):
        if rule.conditions.utilization is not None:
            limits.append((level.label, rule.conditions.utilization))
    ends = [*(low for _, low in limits[1:]), 1.0]
    return tuple(Band(level, low, high) for (level, low), high in zip(limits, ends, strict=True))


def chart(known: Sequence[Point], marks: Sequence[Mark], policy: Policy | None, now: datetime) -> Chart:
    """Draw what is remembered up to now."""
    begin = min([now - _SHORTEST, *(point.at for point in known[:1])])
    span = now - begin

    def x(at: datetime) -> float:
        return round(WIDTH * ((at - begin) / span), 1)

    def y(ratio: float) -> float:
        return round(HEIGHT * (1 - min(1.0, ratio)), 1)

    return Chart(
        lines=list(_lines(known, x, y)),
        bands=[(b.level, y(b.high), round(y(b.low) - y(b.high), 1)) for b in bands(policy)],
        marks=[(mark.kind, x(mark.at), mark.text) for mark in marks if mark.at >= begin],
        times=[(WIDTH * part / 4, f"{begin + span * part / 4:%H:%M:%S}") for part in range(5)],
        heights=[(y(ratio), f"{ratio:.0%}") for ratio in (0.0, 0.5, 1.0)],
        rows=tuple(reversed(known[-_TABLE:])),
        span=span,
    )


def _lines(known: Sequence[Point], x: Any, y: Any) -> Iterator[str]:
    points: list[str] = []
    for point in known:
        if point.used is None or not point.usable:
            if points:
                yield " ".join(points)
            points = []
        else:
            points.append(f"{x(point.at)},{y(point.used / point.usable)}")
    if points:
        yield " ".join(points)


def series(known: Sequence[Point], marks: Sequence[Mark], policy: Policy | None) -> Mapping[str, Any]:
    """The same as numbers: seconds since 1970, slots, the levels' parts, what happened."""
    usable = next((point.usable for point in reversed(known) if point.usable), 0)
    first = known[0].at if known else None
    return {
        "at": [round(point.at.timestamp(), 1) for point in known],
        "used": [point.used for point in known],
        "usable": usable,
        "bands": [{"level": b.level, "low": b.low * usable, "high": b.high * usable} for b in bands(policy)],
        "marks": [
            {"at": round(mark.at.timestamp(), 1), "kind": mark.kind, "text": mark.text}
            for mark in marks
            if first is not None and mark.at >= first
        ],
    }
