"""What an audit rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remediator.core.assess import Watch, assess
from remediator.core.audit.catalogue import Catalogue
from remediator.core.directory import SKEW
from remediator.core.grace import StopGrace
from remediator.core.leak import leak_age, terminated_age
from remediator.core.model import Level, Sample, SessionGroup
from remediator.core.owner import Owner, OwnerKind
from remediator.core.policy import Policy

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

AGES = (timedelta(0), MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY)
"""Where the classes of idle sessions by age begin."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections a service is meant to have, and for how long it keeps an idle one.

    Attributes:
        normal: On a usual day, of all replicas together; None when nobody said, or `processes` says it.
        peak: The most, of all replicas together; None like `normal`.
        processes: Of one replica; None when the numbers are given.
        threads: Of one process: each needs one connection at a time.
        pool: Connections that a process's pool holds at most; None without a pool.
        max_age: How long the service keeps a connection that it does not use; None when that is not known.
        checked: It tests a connection before it uses it.
    """

    normal: int | None = None
    peak: int | None = None
    processes: int | None = None
    threads: int = 1
    pool: int | None = None
    max_age: timedelta | None = None
    checked: bool = False

    def usual(self, replicas: int) -> int | None:
        """Connections on a usual day: each thread has one, unless the pool is smaller."""
        if self.processes is None:
            return self.normal
        return replicas * self.processes * min(self.threads, self.threads if self.pool is None else self.pool)

    def most(self, replicas: int) -> int | None:
        """Connections at peak: every pool is full."""
        if self.processes is None:
            return self.normal if self.peak is None else self.peak
        return replicas * self.processes * (self.threads if self.pool is None else self.pool)


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service of the config.

    Attributes:
        connections: What the config says of its connections, None when it says nothing.
        replicas: How many run, None when that could not be read.
        graces: Of its containers.
    """

    name: str
    connections: Connections | None = None
    replicas: int | None = 1
    graces: tuple[StopGrace, ...] = ()


@dataclass(frozen=True, slots=True)
class Churn:
    """Sessions that began while the audit watched, its own left out."""

    begun: int
    seconds: float

    @property
    def per_second(self) -> float:
        """How many began in a second."""
        return self.begun / self.seconds


@dataclass(frozen=True, slots=True)
class Busiest:
    """The reading with the most used slots of those that were recorded.

    Attributes:
        days: How far back it was looked.
        owners: Who had the sessions then, most first.
    """

    at: datetime
    used: int
    usable: int
    days: int
    owners: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What counts as much, or as long.

    Attributes:
        leak_count: Sessions of one owner that are idle for long.
        leak_share: The same as a ratio of the usable slots; the lower one holds.
        in_transaction: Idle in a transaction.
        in_transaction_long: The same, when it cannot be a slow program any more.
        unused: Never used after so long.
        unused_count: How many of those may be by chance.
        keeps: Idle for so long beyond what a service is said to keep, at least.
        kept: So old is a session that its client keeps.
        tool_idle: A person's tool that is not used any more.
        churn: Sessions begun in a second.
        near: Ratio of a limit at which it is near.
        margin: Ratio of the usable slots that the peak should leave.
        superusers: Sessions of one superuser.
        unattributed: Ratio of the sessions whose owner is not known.
    """

    leak_count: int = 5
    leak_share: float = 0.05
    in_transaction: timedelta = MINUTE
    in_transaction_long: timedelta = HOUR
    unused: timedelta = 10 * MINUTE
    unused_count: int = 2
    keeps: timedelta = MINUTE
    kept: timedelta = HOUR
    tool_idle: timedelta = DAY
    churn: float = 5.0
    near: float = 0.8
    margin: float = 0.1
    superusers: int = 3
    unattributed: float = 0.25


YARDSTICK = Yardstick()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything an audit of one database knows.

    Attributes:
        sample: Counted by `cutoffs`, with owners.
        catalogue: None when it could not be read.
        starts: From when on a session can be of whoever has its address now, by address.
        settled: Until when it is known who has which address, by the server's clock; None if it is not.
        busiest: None where nothing was recorded.
        own: What remediator's own sessions are called.
        churn: None when it was not watched, or the server does not count sessions (before PostgreSQL 14).
    """

    database: str
    policy: Policy
    sample: Sample
    catalogue: Catalogue | None = None
    services: tuple[ServiceFacts, ...] = ()
    churn: Churn | None = None
    busiest: Busiest | None = None
    yardstick: Yardstick = field(default=YARDSTICK)
    starts: Mapping[str, datetime] = field(default_factory=dict)
    settled: datetime | None = None
    own: str = ""

    def ours(self, group: SessionGroup) -> bool:
        """Whether sessions are remediator's own."""
        if self.catalogue is None or not self.own:
            return False
        return (group.user, group.application) == (self.catalogue.user, self.own)

    def tell(self, finding: str, subject: str) -> bool:
        """Whether it can be told that a finding does not hold: what it rests on could be looked at.

        Args:
            finding: Its id.
            subject: What it is about.
        """
        read = self.sample.slots is not None and self.catalogue is not None
        match finding:
            case "unreadable":
                return True
            case "was_nearly_full":
                return self.busiest is not None
            case "short_stop_grace":
                return all(s.replicas is not None for s in self.services if s.name == subject)
            case "churn":
                return read and self.churn is not None
            case _:
                return read

    @property
    def level(self) -> Level:
        """The level that the sample suggests by itself."""
        assessment = assess(self.policy, Watch(), self.sample)
        return max(assessment.level, assessment.pending or Level.NORMAL)

    @property
    def leak_age(self) -> timedelta:
        """How long a session must be idle to be taken for leaked, whatever its owner is said to keep.

        The same at every level: that slots are short makes no leak of a pool at rest.
        """
        return leak_age(self.policy, Level.NORMAL)

    def kept_for(self, owner: Owner) -> timedelta:
        """For how long an owner is said to keep an idle session; zero if nobody said."""
        ages = (self.keeps(s) for s in self.services if owner == Owner(OwnerKind.SERVICE, s.name))
        return next(ages, None) or timedelta(0)

    def ended_from(self, owner: Owner) -> timedelta:
        """How long a session must be idle for a statement to end it.

        No statement is less patient than the policy, or than the owner is said to be.
        """
        return max(terminated_age(self.policy), self.kept_for(owner))

    def keeps(self, service: ServiceFacts) -> timedelta | None:
        """From which age on a service's idle session is older than it is said to keep it."""
        return _keeps(service, self.yardstick)

    def orphaned_before(self, address: str) -> datetime | None:
        """Before when a session from this address must have begun to be nobody's any more; None if not known.

        Whoever is not known to have an address may have been started there since that was asked.
        """
        since = self.starts.get(address)
        return self.settled - SKEW if since is None and self.settled is not None else since

    def orphaned(self, group: SessionGroup) -> bool:
        """Tell whether sessions of a container that is gone are nobody's for certain, the oldest at least."""
        before = None if group.address is None else self.orphaned_before(group.address)
        return before is not None and group.oldest is not None and group.oldest < before

    @property
    def max_ages(self) -> tuple[timedelta, ...]:
        """For how long services are said to keep idle connections."""
        return tuple(s.connections.max_age for s in self.services if s.connections and s.connections.max_age)


def cutoffs(
    policy: Policy, services: tuple[ServiceFacts, ...], yardstick: Yardstick = YARDSTICK
) -> tuple[timedelta, ...]:
    """The idle ages that an audit's sample must count by, ascending."""
    ages = {*AGES[1:], *policy.cutoffs}
    ages |= {yardstick.in_transaction, yardstick.in_transaction_long, yardstick.unused, yardstick.tool_idle}
    ages |= {age for s in services if (age := _keeps(s, yardstick)) is not None}
    return tuple(sorted(ages))


def _keeps(service: ServiceFacts, yardstick: Yardstick) -> timedelta | None:
    if service.connections is None or service.connections.max_age is None:
        return None
    return max(service.connections.max_age, yardstick.keeps)
