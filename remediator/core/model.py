"""What is known about the world at one moment: slots, sessions, the connect probe, replicas."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, IntEnum, StrEnum
from math import floor

from remediator.core.moment import Moment as Moment  # noqa: PLC0414  it is one of this module's values
from remediator.core.owner import UNATTRIBUTED, Owner
from remediator.core.server import Counters, Server
from remediator.core.trend import NO_TREND, Trend
from remediator.core.trouble import Trouble

IDLE = "idle"
LOGGING_IN = "starting"  # as PostgreSQL 18 shows clients in authentication; before, it shows none
CLIENT_BACKEND = "client backend"


class Mode(StrEnum):
    """Whether remediator acts, or only says what it would do."""

    DRY_RUN = "dry-run"
    ENFORCE = "enforce"


class Level(IntEnum):
    """How serious the state of a database's connection slots is, in rising order."""

    NORMAL = 0
    MONITOR = 1
    ALERT = 2
    CRITICAL = 3

    @property
    def label(self) -> str:
        """The name used in config, logs and output."""
        return self.name.lower()


class Evidence(StrEnum):
    """What a sample says about a condition. Unknown neither triggers nor clears anything."""

    BREACH = "breach"
    CLEAR = "clear"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Slots:
    """Connection slots of one PostgreSQL server.

    Only client backends take them: walsenders have a pool of their own since PostgreSQL 12, and
    background processes never counted.
    """

    max_connections: int
    superuser_reserved: int
    reserved: int
    used: int

    @property
    def usable(self) -> int:
        """Slots that an ordinary role can get."""
        return max(1, self.max_connections - self.superuser_reserved - self.reserved)

    @property
    def utilization(self) -> float:
        """Used slots over usable slots; above 1 when reserved slots are in use too."""
        return self.used / self.usable

    @property
    def free(self) -> int:
        """Slots that an ordinary role can still get."""
        return max(0, self.usable - self.used)

    def excess(self, utilization: float) -> int:
        """How many sessions must go for utilization to be at most this ratio."""
        # Percentages are not exact in binary: 29 % of 100 must be 29 slots, not 28.999.
        return max(0, self.used - floor(round(utilization * self.usable, 7)))


@dataclass(frozen=True, slots=True)
class SessionId:
    """What identifies a session: a pid alone is reused by the operating system."""

    pid: int
    backend_start: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One session as `pg_stat_activity` showed it, with what decides whether it may be terminated.

    Attributes:
        state_change: When the state last changed; part of the guard when terminating.
        idle_for: Seconds since `state_change` by the server's clock, 0 unless the state is idle.
        hidden: The server did not let our role see this session's state.
        unused: It never ran a statement.
        owner: Whose it is, once that has been looked up.
    """

    id: SessionId
    user: str | None
    database: str | None
    application: str
    address: str | None
    backend_type: str | None
    state: str | None
    state_change: datetime | None
    idle_for: float
    in_transaction: bool = False
    superuser: bool = False
    own: bool = False
    advisory_lock: bool = False
    listening: bool = False
    hidden: bool = False
    unused: bool = False
    owner: Owner = UNATTRIBUTED


@dataclass(frozen=True, slots=True)
class SessionGroup:
    """Sessions alike in user, application, address, state and age, counted by the server.

    Attributes:
        idle_for_at_least: Lower bound of how long the group's members have been idle, in a transaction or
            not, in seconds: the largest cutoff of the sample that all of them reached, 0 when none.
        unused: They never ran a statement.
        oldest: When the first of them began; none of them is from before its address was taken, or all are.
        owner: Whose they are, once that has been looked up.
    """

    user: str
    application: str
    address: str | None
    state: str
    idle_for_at_least: float
    count: int
    unused: bool = False
    oldest: datetime | None = None
    owner: Owner = UNATTRIBUTED


class ProbeResult(StrEnum):
    """What a fresh connection attempt met. Anything but the first two says nothing about slots."""

    ACCEPTED = "accepted"
    REFUSING = "refusing"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Probe:
    """One attempt to connect as a client would.

    Attributes:
        sqlstate: The server's code when it refused, which, unlike the text, is never translated.
        seconds: How long the attempt took.
        own_limit: Refused by a limit of the one database connected to, not for want of the server's slots.
    """

    result: ProbeResult
    sqlstate: str | None = None
    detail: str = ""
    seconds: float = 0.0
    own_limit: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of one database, taken at one moment.

    Attributes:
        slots: None when they could not be read; then `trouble` says why.
        probe: The freshest connect probe, None when there is none recent enough to mean anything.
        replaced: How the server differs from the one that answered before, when it is another one.
        recent: Sessions that are there and began within the last minute.
        counters: The server's own counters of sessions, None where it has none.
        signalled: Sessions that we have told to end so far, as whoever took the sample counts; None where
            that is not all that we are.
        trend: The readings up to this one.
        clock_set: Seconds by which the server's clock was set since the last sample, negative when back.
        untold: Why containers' addresses do not tell whose sessions these are; empty where they do, and
            where nobody knows of containers.
    """

    moment: Moment
    slots: Slots | None = None
    groups: tuple[SessionGroup, ...] = ()
    probe: Probe | None = None
    trouble: Trouble | None = None
    server: Server | None = None
    replaced: str = ""
    clock_set: float = 0.0
    recent: int = 0
    counters: Counters | None = None
    signalled: int | None = 0
    trend: Trend = NO_TREND
    untold: str = ""

    def idle_older_than(self, cutoff: timedelta) -> int:
        """Count the idle sessions whose state has not changed for at least `cutoff`.

        The cutoff must be one of those the sample was taken with, or the count is too low.
        """
        seconds = cutoff.total_seconds()
        return sum(g.count for g in self.groups if g.state == IDLE and g.idle_for_at_least >= seconds)

    def logged_in(self) -> Sample:
        """The sample as it would be without clients that are still logging in, whether seen or not."""
        if self.slots is None:
            return self
        logging_in = sum(g.count for g in self.groups if g.state == LOGGING_IN)
        slots = replace(self.slots, used=max(0, self.slots.used - logging_in))
        return replace(self, slots=slots, probe=Probe(ProbeResult.ACCEPTED, detail="projected"))

    def without(self, sessions: int) -> Sample:
        """The sample as it would be had this many client sessions gone."""
        if not sessions or self.slots is None:
            return self
        slots = replace(self.slots, used=max(0, self.slots.used - sessions))
        probe = self.probe
        if probe is not None and probe.result is ProbeResult.REFUSING and slots.free:
            probe = replace(probe, result=ProbeResult.ACCEPTED, detail="projected")
        return replace(self, slots=slots, probe=probe)


class ReplicaState(StrEnum):
    """The state of a replica, in Docker's words; `unknown` for one that Docker does not know."""

    RUNNING = "running"
    CREATED = "created"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Health(StrEnum):
    """The verdict of a replica's health check; `none` when it has no check."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Exempt(Enum):
    """Why a replica must never be restarted, whatever the policy says."""

    ONE_OFF = "a one-off container"
    HOOK = "a lifecycle hook's container"
    SWARM = "a Swarm task; Swarm restarts its own"
    REPLACED = "being replaced by a deploy"
    OWN = "our own container"
    DATABASE = "the database's container"
    OPTED_OUT = "opted out by its label remediator.enable"


@dataclass(frozen=True, slots=True)
class Replica:
    """One running instance of a service: a container, or what a command runtime manages.

    Attributes:
        id: Identity that does not survive replacement (a container's id).
        started: Token that differs after every start (`State.StartedAt`).
        started_at: The same as a time, by the clock of whoever runs it; None when that is not known.
        restarts: Restarts made by the runtime's own policy since that start.
        stop_timeout: What the replica is given between the stop signal and being killed; of a command,
            what the whole restart is given.
        addresses: Network addresses, to recognise the database's own container.
        error: Why its last start failed, as whoever runs it says; empty when it did not.
    """

    service: str
    id: str
    name: str
    state: ReplicaState
    started: str
    restarts: int = 0
    health: Health = Health.NONE
    stop_timeout: timedelta = timedelta(seconds=10)
    addresses: frozenset[str] = field(default_factory=frozenset)
    exempt: Exempt | None = None
    started_at: datetime | None = None
    error: str = ""
