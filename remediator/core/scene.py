"""One thing that happened to a database, or would have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from remediator.core.ledger import Entry


class Kind(StrEnum):
    """What a scene is about. Values are stable: they appear in output."""

    LEVEL = "level"
    UNKNOWN = "unknown"
    SERVER = "server"
    MAINTENANCE = "maintenance"
    OPENED = "opened"
    RELAPSED = "relapsed"
    PLANNED = "planned"
    ACTED = "acted"
    HELD = "held"
    WAITING = "waiting"
    RELIEVED = "relieved"
    CLOSED = "closed"
    LOCKED = "locked"


# What is only seen, or only intended: it is part of a story, and decides nothing.
CONTEXT = frozenset({Kind.LEVEL, Kind.UNKNOWN, Kind.SERVER, Kind.MAINTENANCE, Kind.PLANNED, Kind.WAITING})


@dataclass(frozen=True, slots=True)
class StepOutline:
    """One step of a plan, in numbers.

    Attributes:
        acts: On how many it would act.
        held: How many each objection holds back.
        objections: What keeps the step as a whole from being taken.
        conditional: It is taken only if it is critical still.
    """

    label: str
    acts: int = 0
    held: tuple[tuple[str, int], ...] = ()
    objections: tuple[str, ...] = ()
    detail: str = ""
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A plan in numbers: who it is about stands in the reading, since there may be thousands of them.

    Attributes:
        objections: What stops all of it.
    """

    steps: tuple[StepOutline, ...] = ()
    objections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """Something that happened, or would have.

    Attributes:
        text: What, in words.
        targets: What was acted on, by pid or name.
        because: Why.
        results: How often the actions had which result.
        about: How many is a guess: only the number of sessions was recorded.
        incident: Whose scene it is, empty where there was no incident.
        plan: What was decided, in numbers; of scenes that tell of a plan.
        deeds: What was done, one by one.
    """

    at: datetime
    kind: Kind
    text: str
    targets: tuple[str, ...] = ()
    because: str = ""
    results: tuple[tuple[str, int], ...] = ()
    about: bool = False
    incident: str = ""
    plan: Outline | None = None
    deeds: tuple[Entry, ...] = ()

    def same_as(self, other: Scene) -> bool:
        """Tell whether the same was decided, whatever came of it."""
        return (self.at, self.kind, self.text, self.targets) == (
            other.at,
            other.kind,
            other.text,
            other.targets,
        )
