"""What is left of each limit at one moment, computed from when things were done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from remediator.core.ledger import Ledger, Lock, Pause, database_scope, service_scope
from remediator.core.policy import Limits, Policy, Rate, RestartService
from remediator.core.text import count, duration


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a rate is used up.

    Attributes:
        used: How many count against it now.
        frees_at: When there is room for one more, or, where there is room already, when the oldest one
            stops counting; None when none counts, or when nothing is ever allowed.
    """

    rate: Rate
    used: int
    frees_at: datetime | None = None

    @property
    def left(self) -> int:
        """How many are allowed now."""
        return max(0, self.rate.count - self.used)

    def describe(self, now: datetime) -> str:
        """The limit in words, with the wait when it is used up."""
        if self.left or self.frees_at is None:
            return f"limit {self.rate}"
        return f"limit {self.rate}, again in {duration(self.frees_at - now)}"


def usage(rate: Rate, times: Iterable[datetime], now: datetime) -> Usage:
    """Say how much of a rate is used up.

    Args:
        rate: The rate.
        times: When each thing that may count was done. One in the future counts: a budget never
            refills early.
        now: The time to count back from.
    """
    counted = sorted(at for at in times if at > now - rate.per)
    if not counted or not rate.count:
        return Usage(rate, len(counted))
    return Usage(rate, len(counted), counted[max(0, len(counted) - rate.count)] + rate.per)


def usages(rates: Sequence[Rate], times: Iterable[datetime], now: datetime) -> tuple[Usage, ...]:
    """Say how much of each rate is used up; all of them must have room for one more."""
    known = tuple(times)
    return tuple(usage(rate, known, now) for rate in rates)


def backoff_ends(limits: Limits, times: Iterable[datetime], now: datetime) -> tuple[int, datetime] | None:
    """Say until when a service is left alone because it has been restarted repeatedly.

    Args:
        limits: The policy's limits.
        times: When the service was restarted.
        now: The time to count back from.

    Returns:
        How many restarts that rests on, and the time; None when nothing has to be waited for.
    """
    if limits.backoff is None:
        return None
    counted = [at for at in times if at > now - limits.backoff_memory]
    if not counted:
        return None
    ends = max(counted) + limits.backoff.after(len(counted))
    return (len(counted), ends) if ends > now else None


def cooldown(limits: Limits, times: Sequence[datetime], now: datetime) -> list[str]:
    """List in words what keeps a service from being restarted again now, each with its wait."""
    found = [used.describe(now) for used in usages(limits.restart_per_service, times, now) if not used.left]
    waiting = backoff_ends(limits, times, now)
    if waiting is not None:
        restarts, ends = waiting
        found.append(f"backoff after {count(restarts, 'restart')}, again in {duration(ends - now)}")
    return found


def pause_end(pause: Pause) -> str:
    """Until when a pause lasts, in words."""
    return "until `resume`" if pause.until is None else f"until {pause.until:%Y-%m-%d %H:%M:%S} UTC"


def pause_text(pause: Pause, now: datetime) -> str:
    """Until when a pause lasts, and why, in words.

    The end that was named is a wall clock's, which may have been set since; what is left is not bent by that.

    Args:
        pause: The pause.
        now: Time on the ledger's clock.
    """
    until = pause_end(pause)
    if pause.until is not None:
        until += f", {duration((pause.ends or pause.until) - now)} left"
    return f"{until}: {pause.reason}" if pause.reason else until


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit of one database, and how much of it is used up.

    Attributes:
        limits: What it limits: `terminate`, `restart`, or `restart NAME` for one service.
        rule: The limit in words.
        used: How many count against it.
        allowed: How many may; None for a backoff, which only lasts.
        frees_at: When there is room for one more, or one less counts, on the ledger's clock.
    """

    database: str
    limits: str
    rule: str
    used: int
    allowed: int | None
    frees_at: datetime | None

    @property
    def left(self) -> int:
        """How many are allowed now."""
        return max(0, (self.allowed or 0) - self.used)


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds a database's remediation in check at one moment.

    Attributes:
        pause: The pause in force.
        locks: The locks in force, of other databases too.
        now: The moment, on the ledger's clock.
        own: The locks of the database itself and of the services on its ladder.
    """

    pause: Pause | None
    locks: tuple[Lock, ...]
    budgets: tuple[Budget, ...]
    now: datetime
    own: tuple[Lock, ...] = ()


def standing(database: str, policy: Policy, ledger: Ledger, now: datetime) -> Standing:
    """Say what is left of each limit of a database, and what else is in force.

    Args:
        database: Its name.
        policy: Its policy.
        ledger: The ledger.
        now: Time on the ledger's clock.
    """
    limits = policy.limits
    found = [
        *_budgets(database, "terminate", limits.terminate, ledger.terminations(database), now),
        *_budgets(database, "restart", limits.restart, ledger.restarts(database), now),
    ]
    steps = policy.remediate.steps
    services = tuple(dict.fromkeys(step.service for step in steps if isinstance(step, RestartService)))
    for service in services:
        times = ledger.restarts_of(service)
        found += _budgets(database, f"restart {service}", limits.restart_per_service, times, now)
        waiting = backoff_ends(limits, times, now)
        if waiting is not None:
            restarts, ends = waiting
            found.append(Budget(database, f"restart {service}", "backoff", restarts, None, ends))
    pause = ledger.pause if ledger.pause is not None and ledger.pause.holds_at(now) else None
    scopes = {database_scope(database), *map(service_scope, services)}
    own = tuple(lock for lock in ledger.locks if lock.scope in scopes)
    return Standing(pause, ledger.locks, tuple(found), now, own)


def _budgets(
    database: str, what: str, rates: Sequence[Rate], times: Sequence[datetime], now: datetime
) -> list[Budget]:
    return [
        Budget(database, what, str(used.rate), used.used, used.rate.count, used.frees_at)
        for used in usages(rates, times, now)
    ]
