"""One thing that happened to a database, or would have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from remediator.core.ledger import Entry
from remediator.core.reading import Decision


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
class Scene:
    """Something that happened, or would have.

    Attributes:
        text: What, in words.
        targets: What was acted on, by pid or name.
        because: Why.
        results: How often the actions had which result.
        about: How many is a guess: only the number of sessions was recorded.
        incident: Whose scene it is, empty where there was no incident.
        plan: What was decided; of scenes that tell of a plan.
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
    plan: Decision | None = None
    deeds: tuple[Entry, ...] = ()

    def same_as(self, other: Scene) -> bool:
        """Tell whether the same was decided, whatever came of it."""
        return (self.at, self.kind, self.text, self.targets) == (
            other.at,
            other.kind,
            other.text,
            other.targets,
        )
