"""From the daemon's events to a story for people, and to the figures of the report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from remediator.core.events import Event
from remediator.core.model import Level, Mode
from remediator.core.plan import Objection
from remediator.core.text import count, duration

Fields = Mapping[str, Any]


class Tone(StrEnum):
    """What kind of news a line is."""

    PLAIN = "plain"
    MONITOR = "monitor"
    ALERT = "alert"
    CRITICAL = "critical"
    ACT = "act"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story.

    Attributes:
        at: Seconds since the demo's start.
    """

    at: float
    tone: Tone
    text: str


@dataclass(slots=True)
class Story:
    """Follows the daemon's events.

    Attributes:
        mode: Whether the daemon acts.
        begun: When the demo's clock started.
        level: The database's level now.
        terminated: Sessions terminated (or not, in a dry run), by application.
        outcomes: What came of the terminations.
        spared: Sessions spared when sessions were terminated, by objection.
        restarts: Each restart with its outcome: service, result.
        opened_at: When critical was confirmed, in seconds.
        relief_took: Seconds from confirmed critical to relief, None without relief.
        planned: A plan with something to do was made.
        closed: The daemon has closed the incident.
        held: The daemon has nothing left to do.
    """

    mode: Mode
    begun: datetime
    lines: list[Line] = field(default_factory=list)
    level: Level = Level.NORMAL
    terminated: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    spared: Counter[Objection] = field(default_factory=Counter)
    restarts: list[tuple[str, str]] = field(default_factory=list)
    planned: bool = False
    opened_at: float | None = None
    relief_took: float | None = None
    closed: bool = False
    held: bool = False
    _refusing: bool = False
    _batch: Counter[str] = field(default_factory=Counter)
    _batch_at: float = 0.0

    @property
    def ended(self) -> bool:
        """Nothing that matters to the demo is to come."""
        over = self.relief_took is not None if self.mode is Mode.DRY_RUN else self.closed
        return over or self.held

    def say(self, at: float, tone: Tone, text: str) -> None:
        """Add a line, unless it says the same as the last one."""
        if not self.lines or self.lines[-1].text != text:
            self.lines.append(Line(at, tone, text))

    def hear(self, event: Fields) -> None:
        """Take one of the daemon's log records."""
        at = (datetime.fromisoformat(event["at"]) - self.begun).total_seconds()
        name = event["event"]
        if name == Event.ACTION_FINISHED.event_name and event["action"] == "terminate":
            self._count_termination(at, event)
            return
        self._tell_batch()
        teller = next((t for e, t in self._tellers.items() if e.event_name == name), None)
        if teller is not None:
            teller(self, at, event)
        elif event["severity"] in ("warning", "error"):
            because = event.get("because") or event.get("message", "")
            self.say(at, Tone.BAD, f"{name.replace('_', ' ')}: {because}")

    def _count_termination(self, at: float, event: Fields) -> None:
        if not self._batch:
            self._batch_at = at
        outcome = event["outcome"]
        self.outcomes[outcome] += 1
        if outcome in ("confirmed", "simulated"):
            self.terminated[event["application"]] += 1
            self._batch[event["application"]] += 1

    def _tell_batch(self) -> None:
        """Say in one line what came of the terminations of one step."""
        if not self._batch:
            return
        number = count(self._batch.total(), "idle session")
        whose = shares(self._batch)
        if self.mode is Mode.DRY_RUN:
            text = f"would terminate {number} ({whose}); nothing is done"
        else:
            text = f"terminated {number} ({whose}), each seen to be gone"
        self.say(self._batch_at, Tone.ACT, text)
        self._batch.clear()

    def _started(self, at: float, event: Fields) -> None:
        services = " and ".join(event["services"])
        self.say(
            at, Tone.PLAIN, f"remediator watches, mode {event['mode'].upper()}; it may restart {services}"
        )

    def _cycle(self, at: float, event: Fields) -> None:
        refusing = event.get("probe") == "refusing"
        if refusing and not self._refusing and not self.restarts:
            again = " again" if self.opened_at is not None else ""
            self.say(at, Tone.CRITICAL, f"the server refuses new connections{again}")
        self._refusing = refusing

    def _level_changed(self, at: float, event: Fields) -> None:
        level, previous = Level[event["level"].upper()], Level[event["previous"].upper()]
        self.level = level
        if level is Level.CRITICAL:
            return  # incident_opened says so, and why
        because = f": {event['because']}" if level > previous else f", after {previous.label}"
        tone = Tone.GOOD if level < previous else Tone(level.label)
        self.say(at, tone, f"level {level.label}{because}")

    def _pending(self, at: float, event: Fields) -> None:
        if event["level"] == "critical":
            self.say(at, Tone.CRITICAL, f"critical if it lasts: {event['because']}")

    def _opened(self, at: float, event: Fields) -> None:
        self.level = Level.CRITICAL
        self.opened_at = at
        self.say(at, Tone.CRITICAL, f"CRITICAL is confirmed: {event['because']}")

    def _plan(self, at: float, event: Fields) -> None:
        if event["objections"]:
            return
        steps = event["steps"]
        acting = [step for step in steps if step["acts"]]
        if not acting:
            return
        self.planned = True
        first, *later = [f"{_step(step)}" for step in acting]
        then = "".join(f"; if critical still, {step}" for step in later)
        self.say(at, Tone.PLAIN, f"plan: {first}{then}")
        if acting[0]["step"].startswith("terminate"):
            self.spared = Counter({Objection(name): n for name, n in acting[0]["holds"].items()})

    def _intended(self, at: float, event: Fields) -> None:
        if event["action"] == "restart":
            verb = "would restart" if self.mode is Mode.DRY_RUN else "restarts"
            self.say(at, Tone.ACT, f"critical still, so it {verb} {event['service']}")

    def _finished(self, at: float, event: Fields) -> None:
        service, outcome = event["service"], event["outcome"]
        self.restarts.append((service, outcome))
        detail = f" ({event['detail']})" if event.get("detail") else ""
        tone = Tone.ACT if outcome in ("confirmed", "simulated") else Tone.BAD
        self.say(at, tone, f"restart of {service}: {outcome}{detail}")

    def _settling(self, at: float, event: Fields) -> None:
        self.say(at, Tone.PLAIN, f"waits {event['settle']} to see what that brings")

    def _relieved(self, at: float, event: Fields) -> None:
        self.relief_took = event["seconds"]
        after = duration(event["seconds"])
        if self.mode is Mode.DRY_RUN:
            self.say(at, Tone.GOOD, f"with those gone it would not be critical any more, {after} after")
        else:
            self.say(at, Tone.GOOD, f"RELIEF, {after} after critical was confirmed")

    def _round(self, at: float, event: Fields) -> None:
        self.relief_took = None
        self.say(at, Tone.CRITICAL, f"relief did not last: step {event['step']} is next")

    def _held(self, at: float, event: Fields) -> None:
        self.held = True
        self.say(at, Tone.BAD, f"critical still, and nothing is left to do: {event['because']}")

    def _closed(self, at: float, event: Fields) -> None:
        self.closed = True
        self.say(at, Tone.GOOD, f"the incident is closed, it lasted {event['lasted']}")

    _tellers: ClassVar[Mapping[Event, Callable[[Story, float, Fields], None]]] = {
        Event.DAEMON_STARTED: _started,
        Event.CYCLE: _cycle,
        Event.LEVEL_CHANGED: _level_changed,
        Event.LEVEL_PENDING: _pending,
        Event.INCIDENT_OPENED: _opened,
        Event.PLAN_MADE: _plan,
        Event.ACTION_INTENDED: _intended,
        Event.ACTION_FINISHED: _finished,
        Event.STEP_SETTLING: _settling,
        Event.INCIDENT_RELIEVED: _relieved,
        Event.INCIDENT_RELAPSED: _round,
        Event.INCIDENT_HELD: _held,
        Event.INCIDENT_CLOSED: _closed,
    }


def shares(counted: Mapping[str, int]) -> str:
    """Who has how many: `18 celery_worker, 12 api`."""
    ranked = sorted(counted.items(), key=lambda item: -item[1])
    return ", ".join(f"{number} {name}" for name, number in ranked)


def _step(step: Fields) -> str:
    if step["step"].startswith("terminate"):
        holds = sum(step["holds"].values())
        return f"terminate {count(step['acts'], 'idle session')}, spare the rest" if holds else step["step"]
    return str(step["step"])


def spared_words(spared: Mapping[Objection, int]) -> Sequence[str]:
    """Why sessions were spared, with how many, most first."""
    ranked = sorted(spared.items(), key=lambda item: -item[1])
    return [f"{objection.meaning.removeprefix('is ')}: {number}" for objection, number in ranked]
