"""What happened to one database, scene by scene, and two such stories side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, groupby

from remediator.core.ledger import Entry, Incident, Phase
from remediator.core.model import Session
from remediator.core.plan import Objection, RestartReplica, TerminateSession
from remediator.core.reading import Decision, Reading, Rung
from remediator.core.scene import CONTEXT, Kind, Outline, Scene, StepOutline
from remediator.core.text import count


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
        """Whether both decide the same here; what is merely seen decides nothing."""
        then = tuple(scene for scene in self.then if scene.kind not in CONTEXT)
        now = tuple(scene for scene in self.now if scene.kind not in CONTEXT)
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
    told += [
        Scene(at, kind, text, because=why, incident=incident.id)
        for at, kind, text, why in known
        if at and kind not in kinds
    ]
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
    whose = after.incident or (before.incident if before is not None else None)
    for scene in (*_seen(before, after), *_decided(before, after), *_locked(before, after)):
        yield replace(scene, incident=whose.id if whose is not None else "")


def _seen(before: Reading | None, after: Reading) -> Iterator[Scene]:
    at = after.at
    level = before.level if before is not None else after.previous
    if after.level is not level:
        text = f"level {after.level.label}, was {level.label}"
        yield Scene(at, Kind.LEVEL, text, because=_because(after))
    if after.unknown is not (before is not None and before.unknown):
        trouble = after.sample.trouble.detail if after.sample.trouble else ""
        text = "the state is not known" if after.unknown else "the state is known again"
        yield Scene(at, Kind.UNKNOWN, text, because=trouble)
    if after.sample.replaced:
        yield Scene(at, Kind.SERVER, "another server answers", because=after.sample.replaced)
    window = before.maintenance if before is not None else None
    if (after.maintenance is None) is not (window is None):
        text = "maintenance is over" if after.maintenance is None else "maintenance begins"
        yield Scene(at, Kind.MAINTENANCE, text, because=after.maintenance.text if after.maintenance else "")


def _decided(before: Reading | None, after: Reading) -> Iterator[Scene]:
    at, plan = after.at, after.plan
    old, new = before.incident if before is not None else None, after.incident
    if old is not None and (new is None or new.id != old.id):
        yield Scene(at, Kind.CLOSED, "incident closed")
    begins = before is not None or (new is not None and new.opened_at >= at)
    if begins and new is not None and (old is None or new.id != old.id):
        yield Scene(at, Kind.OPENED, "incident opened", because=new.because)
    was_relieved = old is not None and old.phase is Phase.RELIEVED
    if new is not None and new.phase is Phase.RELIEVED and not was_relieved:
        yield Scene(at, Kind.RELIEVED, "relieved")
    if plan is None:
        return
    if plan.relapsed and new is not None:
        yield Scene(at, Kind.RELAPSED, f"critical again: round {new.round}")
    known = before.plan if before is not None else None
    if another_plan(known, plan):
        yield Scene(at, Kind.PLANNED, "planned", plan=outline(plan))
    if (why := _held(plan)) and why != _held(known):
        yield Scene(at, Kind.HELD, f"held: {why}", because=_particulars(plan), plan=outline(plan))
    if (why := _waits(plan)) and why != _waits(known):
        yield Scene(at, Kind.WAITING, f"waits: {why}", because=plan.detail, plan=outline(plan))


def another_plan(before: Decision | None, after: Decision | None) -> bool:
    """Tell whether there is a plan, and another one than before, whatever the seconds in its words."""
    return after is not None and (before is None or _essence(after) != _essence(before))


def _essence(plan: Decision) -> tuple[object, ...]:
    return plan.objections, tuple((r.index, r.objections, r.acts, _held_back(r)) for r in plan.rungs)


def outline(plan: Decision) -> Outline:
    """Tell a plan in numbers."""
    steps = (
        StepOutline(r.label, len(r.acts), _held_back(r), r.objections, r.detail, r.conditional)
        for r in plan.rungs
    )
    return Outline(tuple(steps), plan.objections)


def _held_back(rung: Rung) -> tuple[tuple[str, int], ...]:
    """How many targets of a step each objection holds back."""
    counts = Counter(o for v in rung.verdicts for o in v.objections for _ in v.targets)
    return tuple(sorted(counts.items()))


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


def _particulars(plan: Decision) -> str:
    """What the words of a hold leave out: whom it is held for, how much is left."""
    steps = () if plan.objections else (rung.detail for rung in plan.rungs if rung.objections)
    return "; ".join(dict.fromkeys(filter(None, (*steps, plan.detail))))


def _waits(plan: Decision | None) -> str:
    """What a plan waits for, in words; empty when for nothing."""
    if plan is None or plan.held or plan.relieved:
        return ""
    return "; ".join(_words(word) for word in plan.objections)


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
            incident=group[0].intent.incident,
            deeds=tuple(group),
        )


def owners(sessions: Iterable[Session]) -> str:
    """Whose sessions they are, most of them first."""
    held = Counter(s.owner.label if s.owner.known else s.application or s.user or "unnamed" for s in sessions)
    return ", ".join(f"{who} {n}" for who, n in sorted(held.items(), key=lambda item: (-item[1], item[0])))
