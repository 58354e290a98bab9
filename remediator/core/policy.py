"""What the operator asked for, already validated: levels, steps, what is spared, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from math import ceil

from remediator.core.conditions import Conditions as Conditions  # noqa: PLC0414  they are this module's values
from remediator.core.conditions import IdleCount as IdleCount  # noqa: PLC0414
from remediator.core.conditions import Rate as Rate  # noqa: PLC0414
from remediator.core.maintenance import Recurrence
from remediator.core.model import Level
from remediator.core.suspicion import Suspicion
from remediator.core.text import duration


@dataclass(frozen=True, slots=True)
class LevelRule:
    """When a level is entered: its conditions, and how long they must hold."""

    conditions: Conditions
    hold_for: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class ClearRule:
    """When a level is left: utilization this far (a ratio) below its threshold, for this long."""

    margin: float
    hold_for: timedelta


class When(StrEnum):
    """Whether a step needs the database to be critical still when its turn comes."""

    STILL_CRITICAL = "still_critical"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class TerminateIdle:
    """A step: terminate sessions idle for at least `older_than`, oldest first."""

    older_than: timedelta
    when: When = When.STILL_CRITICAL

    @property
    def label(self) -> str:
        """How the step is named to people."""
        return f"terminate sessions idle for {duration(self.older_than)} or longer"


@dataclass(frozen=True, slots=True)
class RestartService:
    """A step: restart the replicas of one service, one at a time.

    Attributes:
        suspicion: Only if the service is the culprit; None for whether it is or not.
        known_by: What its replicas are found by, for people.
    """

    service: str
    when: When = When.STILL_CRITICAL
    suspicion: Suspicion | None = None
    known_by: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """How the step is named to people."""
        return (
            f"restart {self.service}, if it is the culprit" if self.suspicion else f"restart {self.service}"
        )


Step = TerminateIdle | RestartService


@dataclass(frozen=True, slots=True)
class Remediate:
    """The ladder climbed once critical is confirmed.

    Attributes:
        until: Ratio of usable slots at or below which there is nothing more to do.
        settle: How long to wait after a step before sampling for the next decision.
        retry: How long to wait after a round that brought no relief before the next one.
    """

    until: float
    settle: timedelta
    retry: timedelta
    steps: tuple[Step, ...]

    @property
    def ladder(self) -> str:
        """What the steps are, in words; another text means that another ladder is to be climbed."""
        return "; ".join(f"{step.label} ({step.when})" for step in self.steps)


@dataclass(frozen=True, slots=True)
class Spare:
    """Users and applications whose sessions are left alone; shell-style patterns, case-sensitive."""

    users: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()

    def spares_user(self, user: str | None) -> bool:
        """Tell whether a pattern names this user."""
        return _matches(self.users, user or "")

    def spares_application(self, application: str) -> bool:
        """Tell whether a pattern names this application."""
        return _matches(self.applications, application)


@lru_cache(maxsize=4096)  # the same few names for thousands of sessions
def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before a service is restarted again: `base`, doubled by each restart, at most `cap`."""

    base: timedelta
    cap: timedelta

    def after(self, restarts: int) -> timedelta:
        """The wait after so many restarts, at least one."""
        wait = self.base
        for _ in range(restarts - 1):
            if wait >= self.cap:
                break
            wait *= 2
        return min(wait, self.cap)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be done at most. Where there are several rates, each of them holds.

    Attributes:
        terminate_per_step: Sessions per step, numbers or (floats) ratios of the used slots; the lowest holds.
        terminate: How many sessions of this database may be terminated.
        restart_per_service: How often one service may be restarted.
        restart: How often services may be restarted altogether for this database.
        failed_rounds: Rounds without relief in one incident before the database is locked until `ack`.
        min_uptime: How long a replica must have been up to be restarted.
        terminate_abort_above: Sessions that a step may want gone, numbers or ratios of the used slots. A
            step that wants more is taken for a mistake: nothing is done. Empty for no such limit.
        restart_per_step: Replicas of a service per step, numbers or ratios of those it has; the lowest holds.
        backoff: The growing wait between restarts of one service, None without one.
        backoff_memory: How far back restarts of a service make the wait after the next one longer.
        horizon: How far back anything that was done may count.
    """

    terminate_per_step: tuple[int | float, ...]
    terminate: tuple[Rate, ...]
    restart_per_service: tuple[Rate, ...]
    restart: tuple[Rate, ...]
    failed_rounds: int
    min_uptime: timedelta = timedelta(0)
    backoff: Backoff | None = None
    terminate_abort_above: tuple[int | float, ...] = ()
    restart_per_step: tuple[int | float, ...] = (1.0,)
    backoff_memory: timedelta = field(init=False, repr=False, compare=False)
    horizon: timedelta = field(init=False, repr=False, compare=False)

    def terminate_cap(self, used: int) -> int:
        """How many sessions one step may terminate with this many slots used; a ratio allows at least one."""
        return min(_of(cap, used) for cap in self.terminate_per_step)

    def suspicious(self, wanted: int, used: int) -> bool:
        """Whether one step wants so many of the used slots' sessions gone that a mistake is likelier."""
        return any(wanted > _of(cap, used) for cap in self.terminate_abort_above)

    def restart_cap(self, replicas: int) -> int:
        """How many of a service's replicas one step may restart; a ratio is rounded up."""
        return min(
            cap if isinstance(cap, int) else ceil(round(cap * replicas, 7)) for cap in self.restart_per_step
        )

    def __post_init__(self) -> None:
        cap = self.backoff.cap if self.backoff else timedelta(0)
        memory = max([cap, *(rate.per for rate in self.restart_per_service)])
        object.__setattr__(self, "backoff_memory", memory)
        rates = (*self.terminate, *self.restart_per_service, *self.restart)
        object.__setattr__(self, "horizon", max([memory, *(rate.per for rate in rates)]))


def _of(cap: float, total: int) -> int:
    if isinstance(cap, int):
        return cap
    return max(1, int(round(cap * total, 7))) if cap else 0


AGES = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(days=1),
)
"""Idle ages by which every sample counts, to show how old the sessions are."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decides for one database.

    Attributes:
        maintenance: Windows in which nothing is done.
    """

    name: str
    check_every: Mapping[Level, timedelta]
    levels: Mapping[Level, LevelRule]
    clear: ClearRule
    remediate: Remediate
    spare: Spare
    limits: Limits
    maintenance: tuple[Recurrence, ...] = ()

    @property
    def patience(self) -> timedelta:
        """How long the state of the database may be unknown before a person is called: five checks."""
        return 5 * self.check_every[Level.NORMAL]

    @property
    def cutoffs(self) -> tuple[timedelta, ...]:
        """The idle ages that a sample must count by, ascending."""
        ages = set(AGES)
        ages |= {c.older_than for rule in self.levels.values() for c in rule.conditions.idling}
        ages |= {step.older_than for step in self.remediate.steps if isinstance(step, TerminateIdle)}
        suspicions = (s.suspicion for s in self.remediate.steps if isinstance(s, RestartService))
        ages |= {suspicion.older_than for suspicion in suspicions if suspicion}
        return tuple(sorted(ages))
