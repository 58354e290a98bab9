"""Incidents as stories: what was seen, decided, done and held, in order, with before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident
from remediator.core.model import Level, Mode
from remediator.core.plan import Objection, RestartReplica, TerminateSession
from remediator.core.text import duration
from remediator.status import words
from remediator.status.chart import Mark
from remediator.status.memory import Remembered, Told

_SOON = timedelta(seconds=2)
_ORDER = {"seen": 0, "plan": 1, "act": 2, "good": 4}


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
        tone: `bad` while a person is needed, `open` while it goes on, else `good`.
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
    mode: Mode,
    now: datetime,
    most: int = 25,
) -> Story:
    """Tell an incident.

    Args:
        incident: The incident.
        entries: What was done in it, oldest first.
        known: What is remembered of its database; nothing from before the daemon's start.
        mode: Whether anything was really done.
        now: The time.
        most: How many sessions to list of those that were terminated together.
    """
    would = "would have been relieved" if mode is Mode.DRY_RUN else "relieved"
    end = incident.closed_at or now
    state = "closed" if incident.closed_at else "open"
    if incident.relieved_at is None:
        state += "" if incident.closed_at else f", {incident.phase.value}"
    else:
        state += f", {would} after {duration(incident.relieved_at - incident.opened_at)}"
    tone = "good" if incident.closed_at or incident.relieved_at else "open"
    return Story(
        id=incident.id,
        database=incident.database,
        opened_at=incident.opened_at,
        state=state,
        tone="bad" if incident.phase.value == "held" and not incident.closed_at else tone,
        because=incident.because,
        lasted=duration(round((end - incident.opened_at).total_seconds())),
        before=_slots(incident.used, incident.usable),
        after=_after(incident, known),
        summary=summary(entries, mode) or "nothing was done",
        under_way=_under_way(entries),
        chapters=tuple(sorted(_chapters(incident, entries, known, would, most), key=_place)),
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
    found = [r for r in known.readings if r.used is not None and r.at >= incident.relieved_at - _SOON]
    return _slots(found[0].used, found[0].usable) if found else ""


def _chapters(
    incident: Incident, entries: Sequence[Entry], known: Remembered | None, would: str, most: int
) -> Iterator[Chapter]:
    yield Chapter(incident.opened_at, "seen", "Critical is confirmed", incident.because)
    said = {told.event for told in _of(incident, known)}
    for told in _of(incident, known):
        chapter = _said(told)
        if chapter is not None:
            yield chapter
    for _, group in groupby(entries, key=_batch):
        yield _done(tuple(group), most)
    if incident.relieved_at and Event.INCIDENT_RELIEVED not in said:
        yield Chapter(incident.relieved_at, "good", would.capitalize())
    if incident.closed_at and Event.INCIDENT_CLOSED not in said:
        yield Chapter(incident.closed_at, "good", "Closed")


def _of(incident: Incident, known: Remembered | None) -> Iterable[Told]:
    """What was said of the incident, and of its database meanwhile."""
    for told in known.told if known else ():
        about = told.fields.get("incident")
        during = incident.opened_at <= told.at and (
            incident.closed_at is None or told.at <= incident.closed_at
        )
        if about == incident.id or (about is None and during):
            yield told


def _place(chapter: Chapter) -> tuple[datetime, int]:
    """Its time; of what has the same, first what was seen, then what was planned, done, and came of it."""
    return chapter.at, _ORDER.get(chapter.kind, 3)


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


def _said(told: Told) -> Chapter | None:
    """An event as part of a story, None when the ledger tells it better."""
    fields, event = told.fields, told.event
    because = str(fields.get("because") or "")
    match event:
        case Event.PLAN_MADE:
            return _planned(told)
        case Event.STEP_SETTLING:
            return Chapter(told.at, "wait", "Wait for the effect", f"{_seconds(fields.get('settle'))}")
        case Event.INCIDENT_HELD:
            return Chapter(told.at, "bad", "Held: a person is needed", because)
        case Event.INCIDENT_SUSPENDED:
            return Chapter(told.at, "hold", "Suspended by an order", because)
        case Event.LOCKED:
            return Chapter(told.at, "bad", f"Locked: {fields.get('scope')}", because)
        case Event.LEVEL_CHANGED if fields.get("level") == Level.CRITICAL.label:
            return None  # that is how it opened
        case Event.LEVEL_CHANGED:
            title = f"{fields.get('previous')} to {fields.get('level')}"
            return Chapter(told.at, "seen", title.capitalize(), because)
        case Event.INCIDENT_RELIEVED:
            return Chapter(told.at, "good", "Relieved", event.meaning)
        case Event.INCIDENT_CLOSED:
            return Chapter(told.at, "good", "Closed", because)
        case _:
            return Chapter(
                told.at, "seen", event.event_name.replace("_", " ").capitalize(), because or event.meaning
            )


def _seconds(value: object) -> str:
    return duration(value) if isinstance(value, int | float) else str(value or "")


def _planned(told: Told) -> Chapter:
    """A plan with what it holds, and why."""
    steps = told.fields.get("steps")
    lines = []
    for step in steps if isinstance(steps, list) else []:
        holds = ", ".join(f"{number} {Objection(name).meaning}" for name, number in step["holds"].items())
        objections = ", ".join(Objection(name).meaning for name in step["objections"])
        detail = f" ({step['detail']})" if step["detail"] else ""
        condition = "only if critical still" if step["conditional"] else ""
        acts = f"{step['acts']} to act on" if step["acts"] else ""
        held = f"held: {holds or objections}{detail}" if holds or objections else ""
        lines.append(Line(step["step"], condition, "; ".join(part for part in (acts, held) if part)))
    stopped = told.fields.get("objections")
    names = stopped if isinstance(stopped, list) else []
    text = f"nothing is done: {', '.join(Objection(name).meaning for name in names)}" if names else ""
    return Chapter(told.at, "plan", "Plan", text, tuple(lines))


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
