"""From events to notices: a step's actions become one, an opening waits a moment for its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from remediator.adapters.notify.phrases import PHRASES
from remediator.adapters.notify.told import Told
from remediator.adapters.notify.wording import Writer, gist, plain_lines, slots
from remediator.core.events import Event
from remediator.core.notice import Kind, Notice
from remediator.core.text import duration

# Seconds that a notice waits for what belongs to it.
_FOR_COMPANY = 2.0
_FOR_MORE_OUTCOMES = 5.0
_FOR_AN_OUTCOME = 300.0

HEARD = frozenset(
    {
        *PHRASES,
        *(Event.INCIDENT_OPENED, Event.INCIDENT_RELIEVED, Event.INCIDENT_CLOSED, Event.PLAN_MADE),
        *(Event.ACTION_INTENDED, Event.ACTION_FINISHED, Event.STEP_SETTLING),
    }
)
"""What may lead to a notice, besides the cycle that follows it."""

_WHILE_CRITICAL = frozenset({Kind.HELD, Kind.SUSPENDED, Kind.RELAPSED})
_UNKNOWN = frozenset({Kind.EVIDENCE_LOST, Kind.EVIDENCE_OVERDUE})
_FIELDS = ("database", "incident", "because", "level", "previous", "version", "scope")

_ENDS_A_STEP = frozenset(
    {
        *(Event.STEP_SETTLING, Event.INCIDENT_RELAPSED, Event.INCIDENT_RELIEVED, Event.INCIDENT_HELD),
        *(Event.INCIDENT_SUSPENDED, Event.INCIDENT_CLOSED, Event.INCIDENT_OPENED),
    }
)


@dataclass(slots=True)
class _Step:
    """Actions that belong together."""

    intended: dict[str, Told] = field(default_factory=dict)
    finished: list[Told] = field(default_factory=list)
    due: float = 0.0


@dataclass(slots=True)
class _Scene:
    """What is going on with one database."""

    level: str = ""
    opening: Told | None = None
    relief: Told | None = None
    step: _Step = field(default_factory=_Step)


class Digest:
    """Gathers events until they make a notice.

    Args:
        writer: Writes the notices.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._scenes: dict[str, _Scene] = {}

    def take(self, told: Told) -> list[Notice]:
        """Take an event; return the notices that are complete with it."""
        before = self.flush() if told.event is Event.DAEMON_STOPPING else []
        return [*before, *self._take(told, self._scenes.setdefault(told.database, _Scene()))]

    def due(self, mono: float) -> list[Notice]:
        """The notices that have waited long enough for what did not come."""
        return [notice for scene in self._scenes.values() for notice in self._overdue(scene, mono)]

    def flush(self) -> list[Notice]:
        """The notices that still wait, as far as they are known."""
        return self.due(float("inf"))

    @property
    def next_due(self) -> float:
        """When something will have waited long enough, on the monotonic clock."""
        return min((when for scene in self._scenes.values() for when in _waits(scene)), default=float("inf"))

    def _take(self, told: Told, scene: _Scene) -> Iterator[Notice]:
        match told.event:
            case Event.CYCLE:
                yield from self._after_cycle(told, scene)
            case Event.PLAN_MADE:
                yield from self._begun(scene, told)
            case Event.ACTION_INTENDED:
                yield from self._begun(scene)
                scene.step.intended[told.text("id")] = told
                scene.step.due = told.mono + _FOR_AN_OUTCOME
            case Event.ACTION_FINISHED:
                scene.step.intended.pop(told.text("id"), None)
                scene.step.finished.append(told)
                scene.step.due = told.mono + (_FOR_AN_OUTCOME if scene.step.intended else _FOR_MORE_OUTCOMES)
            case _:
                yield from self._other(told, scene)

    def _other(self, told: Told, scene: _Scene) -> Iterator[Notice]:
        if told.event in _ENDS_A_STEP:
            yield from self._begun(scene)
            yield from self._step_taken(scene)
            yield from self._relief(scene, None)
        if told.event is Event.INCIDENT_OPENED:
            scene.opening = told
        elif told.event is Event.INCIDENT_RELIEVED:
            scene.relief = told
        elif told.event is not Event.STEP_SETTLING:
            scene.level = told.text("level") or scene.level
            yield self._plain(told, scene)

    def _after_cycle(self, told: Told, scene: _Scene) -> Iterator[Notice]:
        scene.level = told.text("level")
        yield from self._relief(scene, told)
        if scene.step.finished and not scene.step.intended:
            yield from self._step_taken(scene)
        if told.fields.get("unknown") is False:
            # We may have missed the good news while we were not running.
            about = f"evidence {told.database}"
            yield self._writer.notice(
                Kind.EVIDENCE_REGAINED, told, "state known again", [], level=scene.level, about=about
            )

    def _begun(self, scene: _Scene, plan: Told | None = None) -> Iterator[Notice]:
        opening, scene.opening = scene.opening, None
        if opening is not None:
            yield self._writer.opened(opening, plan)

    def _relief(self, scene: _Scene, cycle: Told | None) -> Iterator[Notice]:
        relief, scene.relief = scene.relief, None
        if relief is not None:
            yield self._writer.relieved(relief, cycle)

    def _step_taken(self, scene: _Scene) -> Iterator[Notice]:
        step, scene.step = scene.step, _Step()
        if step.finished or step.intended:
            acts = step.finished or list(step.intended.values())
            yield self._writer.acted(acts, len(step.intended), scene.level)

    def _overdue(self, scene: _Scene, mono: float) -> Iterator[Notice]:
        if scene.opening is not None and scene.opening.mono + _FOR_COMPANY <= mono:
            yield from self._begun(scene)
        if (scene.step.finished or scene.step.intended) and scene.step.due <= mono:
            yield from self._step_taken(scene)
        if scene.relief is not None and scene.relief.mono + _FOR_COMPANY <= mono:
            yield from self._relief(scene, None)

    def _plain(self, told: Told, scene: _Scene) -> Notice:
        if told.event is Event.INCIDENT_CLOSED:
            return self._writer.relieved(told, None)
        phrase = PHRASES[told.event]
        seconds = told.number("seconds")
        fields = {name: told.text(name) for name in (*_FIELDS, *told.fields)}
        fields["lasted"] = f" for {duration(seconds)}" if seconds else ""
        what = phrase.what.format_map(fields)
        fact = f"{phrase.fact} {gist(told.text('because'))}" if phrase.by_reason else phrase.fact
        level = "critical" if phrase.kind in _WHILE_CRITICAL else scene.level
        if phrase.kind is Kind.LEDGER_UNAVAILABLE and level == "critical":
            # No incident can be opened, so nothing else says it.
            what, fact = f"slots run out{slots(told)}, and {what}", f"{fact} {told.database}"
        if phrase.kind in _UNKNOWN and level == "normal":
            level = ""  # the last one known is no comfort, and there may have been none
        return self._writer.notice(
            phrase.kind,
            told,
            what,
            plain_lines(told, phrase.left),
            level=level,
            about=phrase.about.format_map(fields),
            fact=fact,
        )


def _waits(scene: _Scene) -> Iterator[float]:
    if scene.opening is not None:
        yield scene.opening.mono + _FOR_COMPANY
    if scene.relief is not None:
        yield scene.relief.mono + _FOR_COMPANY
    if scene.step.finished or scene.step.intended:
        yield scene.step.due
