"""What an observer of the world writes down, to be compared with what may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from remediator.core.ledger import Entry, Occasion
from remediator.core.model import Moment, Sample
from remediator.core.plan import RestartReplica
from remediator.core.policy import Policy

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
    """

    entry: Entry
    decided: float
    policies: tuple[Policy, Policy]
    effects: int = 0

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
class Watched:
    """What is known of one database's cycles.

    Attributes:
        policy: What was in force when the current cycle began.
        began: The true time at which it began, in seconds.
        moment: What it takes for now.
        running: Whether it runs still.
        sample: What the world answered it.
        told: A person was told that nothing more can be done for now.
        quiet: Seconds of cycles that were critical while neither was anything done nor anybody told.
        turned: The true time of the last completed cycle.
    """

    policy: Policy
    began: float = 0.0
    moment: Moment | None = None
    running: bool = False
    sample: Sample | None = None
    told: bool = False
    quiet: float = 0.0
    turned: float | None = None


@dataclass(slots=True)
class Book:
    """All deeds, by entry."""

    deeds: dict[int, Deed] = field(default_factory=dict)
    terminations: dict[str, list[float]] = field(default_factory=dict)
    restarts: list[Deed] = field(default_factory=list)

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
