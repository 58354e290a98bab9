"""What an observer of the world writes down, to be compared with what may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from remediator.core.ledger import Entry, Occasion
from remediator.core.model import Moment, Sample
from remediator.core.plan import RestartReplica
from remediator.core.policy import Policy, Spare

_SAME = 1e-3  # two readings of the same moment differ by rounding only


class Violation(Exception):  # noqa: N818  it is what it is
    """An invariant does not hold.

    Args:
        rule: Its name.
        text: What was seen.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(rule, text)
        self.rule = rule
        self.text = text

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass(slots=True)
class Deed:
    """An action that was decided, and whether it took effect in the world.

    Attributes:
        decided: The true time at which the cycle began that decided it, in seconds.
        policies: What was in force when the cycle began and when the intent was recorded.
        effects: How often it took effect.
        holder: The service that held the session which it ends, nothing when none did.
        sure: It held it still, beyond doubt.
    """

    entry: Entry
    decided: float
    policies: tuple[Policy, Policy]
    effects: int = 0
    holder: str = ""
    sure: bool = False

    @property
    def database(self) -> str:
        """The database for whose sake."""
        return self.entry.intent.database

    @property
    def service(self) -> str:
        """The service it restarts, nothing for a termination."""
        action = self.entry.intent.action
        return action.replica.service if isinstance(action, RestartReplica) else ""


@dataclass(slots=True)
class Held:
    """Leaked sessions, by who holds them.

    Attributes:
        total: All of them, whoever holds them.
        services: Those that a running container of this service holds.
        doubtful: Those whose container has ended so lately that it may not be known.
        left: Those whose container has ended.
    """

    total: int = 0
    services: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    left: int = 0


@dataclass(slots=True)
class Watched:
    """What is known of one database's cycles.

    Attributes:
        policy: What was in force when the current cycle began.
        began: The true time at which it began, in seconds.
        moment: What it takes for now.
        running: Whether it runs still.
        sample: What the world answered it.
        told: A person was told that nothing more can be done for now.
        truth: Who held leaked sessions when it looked, by what counts as leaked.
        quiet: Seconds of cycles that were critical while neither was anything done nor anybody told.
        turned: The true time of the last completed cycle.
    """

    policy: Policy
    began: float = 0.0
    moment: Moment | None = None
    running: bool = False
    sample: Sample | None = None
    told: bool = False
    truth: dict[tuple[Spare, timedelta], Held] = field(default_factory=dict)
    quiet: float = 0.0
    turned: float | None = None


@dataclass(slots=True)
class Book:
    """All deeds, by entry; those that are undone came to nothing."""

    deeds: dict[int, Deed] = field(default_factory=dict)
    terminations: dict[str, list[float]] = field(default_factory=dict)
    restarts: list[Deed] = field(default_factory=list)
    undone: set[int] = field(default_factory=set)

    def of_incident(self, incident: str) -> Iterator[Deed]:
        """What was done, or may have been, in an incident."""
        for deed in self.deeds.values():
            if deed.entry.intent.incident == incident and deed.entry.id not in self.undone:
                yield deed

    def terminations_within(self, deed: Deed, per: timedelta) -> int:
        """How many took effect for the deed's database in the window that ends with its decision."""
        since = deed.decided - per.total_seconds() + _SAME
        return sum(1 for at in self.terminations[deed.entry.intent.database] if at > since)

    def restarts_within(self, deed: Deed, per: timedelta, *, of_service: bool) -> dict[Occasion, float]:
        """When each restart of the service, or for the database, last took effect in such a window."""
        since = deed.decided - per.total_seconds() + _SAME
        found: dict[Occasion, float] = {}
        for other in self.restarts:
            same = other.service == deed.service if of_service else other.database == deed.database
            if same and other.decided > since:
                occasion = Occasion.of(other.entry.intent)
                found[occasion] = max(other.decided, found.get(occasion, other.decided))
        return found
