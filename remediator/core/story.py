"""What happened to one database, scene by scene, and two such stories side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, groupby

from remediator.core.ledger import Entry, Incident, Phase
from remediator.core.model import Level, Session
from remediator.core.plan import Objection, RestartReplica, TerminateSession
from remediator.core.reading import Decision, Reading
from remediator.core.text import count


class Kind(StrEnum):
    """What a scene is about. Values are stable: they appear in output."""

    LEVEL = "level"
    OPENED = "opened"
    ACTED = "acted"
    HELD = "held"
    RELIEVED = "relieved"
    CLOSED = "closed"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Scene:
    """Something that happened, or would have.

    Attributes:
        text: What, in words.
        targets: What was acted on, by pid or name.
        because: Why.
        results: How often the actions had which result.
        about: How many is a guess: only the number of sessions was recorded.
    """

    at: datetime
    kind: Kind
    text: str
    targets: tuple[str, ...] = ()
    because: str = ""
    results: tuple[tuple[str, int], ...] = ()
    about: bool = False

    def same_as(self, other: Scene) -> bool:
        """Tell whether the same was decided, whatever came of it."""
        return (self.at, self.kind, self.text, self.targets) == (
            other.at,
            other.kind,
            other.text,
            other.targets,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """What happened at one moment in two stories.

    Attributes:
        then: In the one that was recorded.
        now: In the other one.
    """

    at: datetime
    then: tuple[Scene, ...]
    now: tuple[Scene, ...]

    @property
    def same(self) -> bool:
        """Whether it is the same in both."""
        pairs = zip(self.then, self.now, strict=False)
        return len(self.then) == len(self.now) and all(one.same_as(other) for one, other in pairs)

    @property
    def decided_alike(self) -> bool:
        """Whether both decide the same here; a level alone decides nothing."""
        then = tuple(scene for scene in self.then if scene.kind is not Kind.LEVEL)
        now = tuple(scene for scene in self.now if scene.kind is not Kind.LEVEL)
        return Row(self.at, then, now).same


def story(readings: Sequence[Reading], entries: Iterable[Entry]) -> tuple[Scene, ...]:
    """Tell what happened to one database, in order.

    Args:
        readings: Its completed cycles, oldest first; the first one only tells from where it starts.
        entries: What was done; what was done outside of the readings' time is left out.
    """
    if not readings:
        return ()
    scenes = [scene for before, after in _pairs(readings) for scene in changes(before, after)]
    latest = max(until(reading) for reading in readings[-2:])
    return in_order(scenes, deeds(readings[0].database, entries, readings[0].at, latest))


# Within one cycle: what was seen, what that meant, what was done.
_ORDER = {kind: place for place, kind in enumerate(Kind)}


def in_order(*scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """Put scenes in the order in which they happened."""
    return tuple(sorted(chain(*scenes), key=lambda scene: (scene.at, _ORDER[scene.kind])))


def tale(incident: Incident, scenes: Iterable[Scene], entries: Sequence[Entry]) -> tuple[Scene, ...]:
    """Tell one incident, from shortly before to shortly after it, in order.

    What the ledger knows of it is told even where nothing was recorded.

    Args:
        incident: The incident.
        scenes: What its readings told.
        entries: What was done in it.
    """
    told = list(scenes)
    kinds = {scene.kind for scene in told}
    known = (
        (incident.opened_at, Kind.OPENED, "incident opened", incident.because),
        (incident.relieved_at, Kind.RELIEVED, "relieved", ""),
        (incident.closed_at, Kind.CLOSED, "incident closed", ""),
    )
    told += [Scene(at, kind, text, because=why) for at, kind, text, why in known if at and kind not in kinds]
    ever = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return in_order(told, deeds(incident.database, entries, *ever))


def until(reading: Reading) -> datetime:
    """The time up to which a cycle may have acted."""
    return reading.renewed.moment.at if reading.renewed is not None else reading.at


def side_by_side(then: Iterable[Scene], now: Iterable[Scene]) -> tuple[Row, ...]:
    """Put two stories of the same time next to each other, moment by moment."""
    left, right = _by_time(then), _by_time(now)
    return tuple(Row(at, left.get(at, ()), right.get(at, ())) for at in sorted({*left, *right}))


def _by_time(scenes: Iterable[Scene]) -> dict[datetime, tuple[Scene, ...]]:
    return {at: tuple(found) for at, found in groupby(scenes, key=lambda scene: scene.at)}


def _pairs(readings: Sequence[Reading]) -> Iterator[tuple[Reading | None, Reading]]:
    return zip((None, *readings), readings, strict=False)


def changes(before: Reading | None, after: Reading) -> Iterator[Scene]:
    """Tell what a reading says that the one before it did not.

    Args:
        before: The reading before it, of the same database; None at the beginning.
        after: The reading.
    """
    at = after.at
    level = before.level if before is not None else Level.NORMAL
    if after.level is not level:
        text = f"level {after.level.label}, was {level.label}"
        yield Scene(at, Kind.LEVEL, text, because=_because(after))
    old, new = before.incident if before is not None else None, after.incident
    if old is not None and (new is None or new.id != old.id):
        yield Scene(at, Kind.CLOSED, "incident closed")
    if new is not None and (old is None or new.id != old.id):
        yield Scene(at, Kind.OPENED, "incident opened", because=new.because)
    was_relieved = old is not None and old.phase is Phase.RELIEVED
    if new is not None and new.phase is Phase.RELIEVED and not was_relieved:
        yield Scene(at, Kind.RELIEVED, "relieved")
    if (why := _held(after.plan)) and why != _held(before.plan if before is not None else None):
        yield Scene(at, Kind.HELD, f"held: {why}", because=after.plan.detail if after.plan else "")
    yield from _locked(before, after)


def _locked(before: Reading | None, after: Reading) -> Iterator[Scene]:
    known = before.orders.locks if before is not None and before.orders is not None else ()
    if after.orders is None or before is None:
        return
    for lock in after.orders.locks:
        if lock.scope not in {other.scope for other in known}:
            yield Scene(after.at, Kind.LOCKED, f"locked: {lock.scope}", because=lock.reason)


def _because(reading: Reading) -> str:
    breached = (f.text for f in reading.findings if f.level is reading.level and f.evidence == "breach")
    return "; ".join(breached)


def _held(plan: Decision | None) -> str:
    """What holds a plan back for longer, in words; empty when nothing does."""
    if plan is None or not plan.held:
        return ""
    if plan.objections:
        return "; ".join(_words(word) for word in plan.objections)
    found = (o for rung in plan.rungs for o in rung.objections)
    return "; ".join(_words(word) for word in dict.fromkeys(found)) or "every step had its turn"


def _words(objection: str) -> str:
    known = {o.value: o.meaning for o in Objection}
    return known.get(objection, objection)


def deeds(database: str, entries: Iterable[Entry], first: datetime, last: datetime) -> Iterator[Scene]:
    """Tell what was done to one database within a time, oldest first; sessions of one step are one scene."""
    done = [e for e in entries if e.intent.database == database and first <= e.intent.at <= last]
    for (at, _), found in groupby(done, key=lambda e: (e.intent.at, e.intent.step)):
        group = list(found)
        sessions = [e.intent.action.session for e in group if isinstance(e.intent.action, TerminateSession)]
        names = [e.intent.action.replica.name for e in group if isinstance(e.intent.action, RestartReplica)]
        results = Counter(e.outcome.result.value if e.outcome else "open" for e in group)
        about = any(session.id.pid < 0 for session in sessions)
        text = f"restart {', '.join(names)}"
        if sessions:
            text = (
                f"terminate {'about ' if about else ''}{count(len(sessions), 'session')} ({owners(sessions)})"
            )
        yield Scene(
            at=at,
            kind=Kind.ACTED,
            text=text,
            targets=(*sorted(str(s.id.pid) for s in sessions if not about), *names),
            because=group[0].intent.because,
            results=tuple(sorted(results.items())),
            about=about,
        )


def owners(sessions: Iterable[Session]) -> str:
    """Whose sessions they are, most of them first."""
    held = Counter(s.owner.label if s.owner.known else s.application or s.user or "unnamed" for s in sessions)
    return ", ".join(f"{who} {n}" for who, n in sorted(held.items(), key=lambda item: (-item[1], item[0])))
