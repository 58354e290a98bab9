"""Incidents as a page shows them: the story that the core tells, in chapters, with before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby

from remediator.core.course import course, refuted, relief
from remediator.core.ledger import Entry, Incident, Phase
from remediator.core.model import Mode
from remediator.core.plan import Objection, RestartReplica, TerminateSession
from remediator.core.scene import Kind, Outline, Scene, StepOutline
from remediator.core.story import tale
from remediator.core.text import duration
from remediator.status import words
from remediator.status.chart import Mark
from remediator.status.memory import Remembered

_SOON = timedelta(seconds=2)
_AROUND = timedelta(minutes=10)
_NEVER = datetime.max.replace(tzinfo=UTC) - 2 * _AROUND
_ORDERS = frozenset({Objection.PAUSED.value, Objection.MAINTENANCE.value})
_KINDS = {
    Kind.RELIEVED: "good",
    Kind.CLOSED: "good",
    Kind.LOCKED: "bad",
    Kind.MAINTENANCE: "wait",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One session or replica, and what came of it."""

    what: str
    because: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """One thing that happened.

    Attributes:
        kind: `seen`, `plan`, `act`, `hold`, `wait`, `good` or `bad`.
        lines: Its particulars, `more` of which are left out.
    """

    at: datetime
    kind: str
    title: str
    text: str = ""
    lines: Sequence[Line] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """An incident.

    Attributes:
        state: `open` with its phase, or `closed`.
        tone: `bad` while a person is needed or where a restart went wrong, `open` while it goes on,
            else `good`.
        before: Used slots when it opened, in words.
        under_way: What was begun and is not verified yet, empty when nothing is.
        after: Used slots once it was relieved, in words, empty while that is not known.
    """

    id: str
    database: str
    opened_at: datetime
    state: str
    tone: str
    because: str
    lasted: str
    before: str
    after: str
    summary: str
    under_way: str
    chapters: Sequence[Chapter] = field(repr=False)


def story(
    incident: Incident,
    entries: Sequence[Entry],
    known: Remembered | None,
    recalled: Sequence[Scene],
    mode: Mode,
    now: datetime,
    most: int = 25,
    held: str = "",
) -> Story:
    """Tell an incident.

    Args:
        incident: The incident.
        entries: What was done in it, oldest first.
        known: What is remembered of its database; nothing from before the daemon's start.
        recalled: What was recorded of it, where that goes further back.
        mode: Whether anything was really done.
        now: The time.
        most: How many sessions to list of those that were terminated together.
        held: What keeps anything from being done for its database now.
    """
    would, stands = relief(mode, entries), course(incident, entries, mode, held)
    end = incident.closed_at or now
    state = "closed" if incident.closed_at else "open"
    tone = "good" if incident.closed_at or incident.relieved_at else "open"
    wrong = incident.phase is Phase.HELD or (tone == "good" and refuted(entries))
    return Story(
        id=incident.id,
        database=incident.database,
        opened_at=incident.opened_at,
        state=f"{state}, {stands}" if stands else state,
        tone="bad" if wrong else tone,
        because=incident.because,
        lasted=duration(round((end - incident.opened_at).total_seconds())),
        before=_slots(incident.used, incident.usable),
        after=_after(incident, known),
        summary=summary(entries, mode) or "nothing was done",
        under_way=_under_way(entries),
        chapters=tuple(_chapters(tale(incident, _scenes(incident, known, recalled), entries), would, most)),
    )


def summary(entries: Sequence[Entry], mode: Mode) -> str:
    """What was done, in one line; empty when nothing was."""
    would = "would have been " if mode is Mode.DRY_RUN else ""
    parts = []
    sessions = [e for e in entries if isinstance(e.intent.action, TerminateSession)]
    if sessions:
        results = "" if would else f" ({words.outcomes(sessions)})"
        parts.append(f"{words.sessions_text(len(sessions))} {would}terminated{results}")
    for entry in entries:
        if isinstance(entry.intent.action, RestartReplica):
            result = entry.outcome.result.value if entry.outcome else "to be verified"
            parts.append(
                f"{entry.intent.action.replica.name} {would}restarted" + ("" if would else f" ({result})")
            )
    return ", ".join(parts)


def _under_way(entries: Sequence[Entry]) -> str:
    """What was begun and is not verified yet."""
    actions = [entry.intent.action for entry in entries if entry.outcome is None]
    sessions = sum(isinstance(action, TerminateSession) for action in actions)
    parts = [f"terminating {words.sessions_text(sessions)}"] if sessions else []
    parts += [f"restarting {action.replica.name}" for action in actions if isinstance(action, RestartReplica)]
    return ", ".join(parts)


def _slots(used: int | None, usable: int | None) -> str:
    return f"{used} of {usable}" if used is not None else "not known"


def _after(incident: Incident, known: Remembered | None) -> str:
    """The first reading once it was relieved: when it was noted, that one had been taken."""
    if known is None or incident.relieved_at is None:
        return ""
    found = [r for r in known.points if r.used is not None and r.at >= incident.relieved_at - _SOON]
    return _slots(found[0].used, found[0].usable) if found else ""


def _scenes(incident: Incident, known: Remembered | None, recalled: Sequence[Scene]) -> Iterator[Scene]:
    """What happened from shortly before to shortly after an incident, as far as it is remembered."""
    first = known.whole_since if known is not None else None
    yield from (scene for scene in recalled if first is None or scene.at < first)
    begin, end = incident.opened_at - _AROUND, (incident.closed_at or _NEVER) - _AROUND
    for scene in known.scenes if known is not None else ():
        during = not scene.incident and begin <= scene.at and scene.at - 2 * _AROUND <= end
        if scene.incident == incident.id or during:
            yield scene


def _chapters(scenes: Sequence[Scene], would: str, most: int) -> Iterator[Chapter]:
    opened = {scene.at for scene in scenes if scene.kind is Kind.OPENED}
    for scene in scenes:
        if scene.kind is Kind.ACTED:
            yield from (_done(tuple(group), most) for _, group in groupby(scene.deeds, key=_batch))
        elif scene.plan is not None:
            yield from _planned(scene, scene.plan)
        elif scene.kind is not Kind.LEVEL or scene.at not in opened:  # that is how it opened
            yield _seen(scene, would)


def _seen(scene: Scene, would: str) -> Chapter:
    title, text = _upper(scene.text), scene.because
    match scene.kind:
        case Kind.OPENED:
            title = "Critical is confirmed"
        case Kind.RELIEVED:
            title = _upper(would)
        case Kind.CLOSED:
            title = "Closed"
    return Chapter(scene.at, _KINDS.get(scene.kind, "seen"), title, text)


def _planned(scene: Scene, plan: Outline) -> Iterator[Chapter]:
    """A plan with what it holds, and why; or what keeps it from being carried out."""
    _, _, why = scene.text.partition(": ")
    text = f"{why} ({scene.because})" if scene.because else why
    if scene.kind is Kind.WAITING:
        settling = Objection.SETTLING.value in plan.objections
        yield Chapter(scene.at, "wait", "Wait for the effect" if settling else "Wait", text)
    elif scene.kind is Kind.HELD:
        ordered = bool(plan.objections) and _ORDERS.issuperset(plan.objections)
        title = "Suspended by an order" if ordered else "Held: a person is needed"
        yield Chapter(scene.at, "hold" if ordered else "bad", title, text)
    elif plan.steps and not plan.objections:
        yield Chapter(scene.at, "plan", "Plan", "", tuple(_step(step) for step in plan.steps))


def _step(step: StepOutline) -> Line:
    """A step: on how many it would act, how many it leaves alone, and why."""
    holds = ", ".join(f"{number} {_meaning(word)}" for word, number in step.held)
    objections = ", ".join(_meaning(word) for word in step.objections)
    detail = f" ({step.detail})" if step.detail else ""
    acts = f"{step.acts} to act on" if step.acts else ""
    held = f"held: {holds or objections}{detail}" if holds or objections else ""
    condition = "only if critical still" if step.conditional else ""
    return Line(step.label, condition, "; ".join(part for part in (acts, held) if part))


def _meaning(word: str) -> str:
    known = {o.value: o.meaning for o in Objection}
    return known.get(word, word)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _batch(entry: Entry) -> object:
    """Terminations of a step are told together, restarts one by one."""
    intent = entry.intent
    alone = entry.id if isinstance(intent.action, RestartReplica) else 0
    return intent.round, intent.step, intent.at, alone


def _done(entries: Sequence[Entry], most: int) -> Chapter:
    first = entries[0]
    tone = {"bad": "bad", "good": "act", "dry": "act", "open": "wait"}[words.tone_of(entries)]
    match first.intent.action:
        case RestartReplica(replica):
            outcome = first.outcome
            detail = f"; {outcome.detail}" if outcome and outcome.detail else ""
            took = f" after {duration(outcome.at - first.intent.at)}" if outcome else ""
            text = f"{first.intent.because}: {words.outcomes(entries)}{took}{detail}"
            return Chapter(first.intent.at, tone, f"Restart {replica.name}", text)
        case TerminateSession():
            sessions = [
                e.intent.action.session for e in entries if isinstance(e.intent.action, TerminateSession)
            ]
            title = f"Terminate {words.sessions_text(len(sessions))}"
            text = f"{words.of_whom(sessions)}, {words.ages(sessions)}: {words.outcomes(entries)}"
            lines = tuple(_line(entry) for entry in entries[:most])
            return Chapter(first.intent.at, tone, title, text, lines, len(entries) - len(lines))


def _line(entry: Entry) -> Line:
    action = entry.intent.action
    what = action.label
    if isinstance(action, TerminateSession):
        what = f"{action.label}, user {action.session.user}, from {action.session.address or 'local'}"
    outcome = entry.outcome
    detail = f" ({outcome.detail})" if outcome and outcome.detail else ""
    return Line(what, entry.intent.because, f"{outcome.result.value if outcome else 'open'}{detail}")


def marks(stories: Iterable[Story]) -> list[Mark]:
    """What is worth marking on a chart."""
    kinds = {"act": "act", "bad": "hold", "hold": "hold", "good": "relief"}
    found = []
    for one in stories:
        found.append(Mark(one.opened_at, "incident", f"critical: {one.because}"))
        for chapter in one.chapters:
            if chapter.kind in kinds and chapter.title != "Closed":
                text = f"{chapter.title}: {chapter.text}" if chapter.text else chapter.title
                kind = "restart" if chapter.title.startswith("Restart") else kinds[chapter.kind]
                found.append(Mark(chapter.at, kind, text))
    return sorted(found, key=lambda mark: mark.at)
