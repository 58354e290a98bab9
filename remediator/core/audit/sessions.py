"""Sessions counted the ways in which a person asks for them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.audit.facts import AGES
from remediator.core.model import IDLE, Sample, SessionGroup
from remediator.core.owner import Owner, OwnerKind

IN_TRANSACTION = "idle in transaction"


def tally(sample: Sample, key: Callable[[SessionGroup], str]) -> tuple[tuple[str, int], ...]:
    """Count the sessions by what the key makes of a group, most first."""
    counted: Counter[str] = Counter()
    for group in sample.groups:
        counted[key(group)] += group.count
    return tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def idle_by_age(sample: Sample) -> tuple[int, ...]:
    """How many sessions are idle for at least each of `AGES`, and not for the next one."""
    counted = [0] * len(AGES)
    starts = [age.total_seconds() for age in AGES]
    for group in sample.groups:
        if group.state == IDLE:
            counted[bisect_right(starts, group.idle_for_at_least) - 1] += group.count
    return tuple(counted)


@dataclass(frozen=True, slots=True)
class Holding:
    """Sessions of one owner, role and application.

    Attributes:
        idle_for: For how long the longest has been idle at least, in seconds.
        since: When the first of them began.
        in_transaction: How many of them are in a transaction.
        addresses: Where they come from over the network.
        local: Some come over a socket of the server's machine.
    """

    owner: Owner
    user: str
    application: str
    count: int
    idle_for: float
    since: datetime | None
    addresses: tuple[str, ...] = ()
    in_transaction: int = 0
    local: bool = False

    @property
    def whose(self) -> str:
        """The owner, else the name they go by, in words."""
        return self.owner.label if self.owner.known else self.application or self.user or "unnamed"


def holdings(sample: Sample, wanted: Callable[[SessionGroup], bool]) -> tuple[Holding, ...]:
    """Who holds the sessions that are wanted, most first."""
    found: dict[tuple[Owner, str, str], list[SessionGroup]] = {}
    for group in sample.groups:
        if wanted(group):
            found.setdefault((group.owner, group.user, group.application), []).append(group)
    held = (_holding(owner, user, name, groups) for (owner, user, name), groups in found.items())
    return tuple(sorted(held, key=lambda h: (-h.count, h.whose, h.user, h.application)))


def _holding(owner: Owner, user: str, application: str, groups: list[SessionGroup]) -> Holding:
    return Holding(
        owner,
        user,
        application,
        sum(g.count for g in groups),
        max(g.idle_for_at_least for g in groups),
        min((g.oldest for g in groups if g.oldest is not None), default=None),
        tuple(sorted({g.address for g in groups if g.address})),
        sum(g.count for g in groups if g.state.startswith(IN_TRANSACTION)),
        any(not g.address for g in groups),
    )


def idle_for(age: timedelta) -> Callable[[SessionGroup], bool]:
    """Whether a group is idle, outside a transaction, for at least so long."""
    return lambda group: group.state == IDLE and group.idle_for_at_least >= age.total_seconds()


def in_transaction_for(age: timedelta) -> Callable[[SessionGroup], bool]:
    """Whether a group is idle in a transaction for at least so long."""
    return lambda group: (
        group.state.startswith(IN_TRANSACTION) and group.idle_for_at_least >= age.total_seconds()
    )


def of_service(groups: Iterable[SessionGroup], name: str) -> tuple[SessionGroup, ...]:
    """The groups of one of the config's services."""
    return tuple(g for g in groups if g.owner == Owner(OwnerKind.SERVICE, name))
