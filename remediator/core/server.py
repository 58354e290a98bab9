"""The server that answers, and whether it is the one that answered before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

RESERVED_SINCE = 160000
NO_SLOT_KEPT = (
    "Before PostgreSQL 16 none can be kept: give the other roles CONNECTION LIMITs that add up to two less "
    "than the usable slots."
)
KEEP_A_SLOT = (
    "from PostgreSQL 16 on reserved_connections keeps a slot for remediator, before that CONNECTION LIMITs "
    "of the other roles can leave one"
)


@dataclass(frozen=True, slots=True)
class Counters:
    """Sessions of all databases of the server since its statistics were reset (PostgreSQL 14 and later).

    Attributes:
        begun: Sessions that began.
        abandoned: Ended because the client was lost.
        fatal: Ended by an error.
        killed: Ended by an operator, or by us.
    """

    begun: int
    abandoned: int
    fatal: int
    killed: int


@dataclass(frozen=True, slots=True)
class Route:
    """How our own session reaches its server over a network.

    Attributes:
        dialled: The address connected to.
        port: The port connected to.
        ours: Our own address, by our account.
        seen: Our own address as the server sees it.
        direct: What was dialled is what the server calls its own end, and it sees the port that we come
            from: the two ends are of one connection, without a proxy or a tunnel.
    """

    dialled: str
    port: int
    ours: str
    seen: str
    direct: bool


@dataclass(frozen=True, slots=True)
class Endings:
    """Sessions that did not end by a client's leave.

    Attributes:
        abandoned: Their client was lost.
        fatal: They met a fatal error, such as a time-out of the server's own.
        killed: Somebody else than we ended them.
    """

    abandoned: int = 0
    fatal: int = 0
    killed: int = 0

    def __add__(self, other: Endings) -> Endings:
        return Endings(self.abandoned + other.abandoned, self.fatal + other.fatal, self.killed + other.killed)


def endings(before: Counters | None, now: Counters | None, ours: int) -> Endings | None:
    """Tell how sessions ended between two readings of one server; None when that cannot be told.

    Args:
        before: The earlier counters, None where the server has none.
        now: The later ones; some are lower when the statistics were reset or a database was dropped.
        ours: How many of those that were killed were, or may have been, killed by us.
    """
    if before is None or now is None:
        return None
    abandoned, fatal = now.abandoned - before.abandoned, now.fatal - before.fatal
    killed = now.killed - before.killed
    if min(abandoned, fatal, killed, now.begun - before.begun) < 0:
        return None
    return Endings(abandoned, fatal, max(0, killed - ours))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the right to act on a server, or has taken it: a session, or a prepared transaction.

    Attributes:
        pid: Of the session; 0 for a prepared transaction, which has none.
        address: Where it comes from, None for the server's own machine, or when it is not told.
        since: When the session began.
        ours: It has our role and our name: it is plainly a daemon of ours.
    """

    pid: int
    user: str = ""
    application: str = ""
    address: str | None = None
    since: datetime | None = None
    ours: bool = False

    @property
    def text(self) -> str:
        """Who it is, in words."""
        if not self.pid:
            return "a prepared transaction (pg_prepared_xacts names it)"
        began = f", since {self.since:%Y-%m-%d %H:%M:%S %Z}" if self.since else ""
        name = f"role {self.user or 'unknown'}, application {self.application or 'unnamed'}"
        return f"session {self.pid} ({name}, from {self.address or 'local'}{began})"


@dataclass(frozen=True, slots=True)
class Server:
    """Which server answered.

    Attributes:
        version: As `server_version_num`, for example 160004.
        address: The server's own address as it sees it, None on a unix socket.
        can_signal: Our role may terminate other roles' sessions.
        system: The cluster's system identifier, which its standbys and copies share; None if not told.
        timeline: The timeline that is written, another one after each promotion; None on a standby or
            if not told.
        position: Bytes of write-ahead log by then, which never become fewer; None like the timeline.
        rival: Another remediator has the right to act on it, or somebody else who took it.
        holder: Who that is, None when it is nobody or was not told.
        route: How we reach it; None over a unix socket, or if that was not told.
    """

    version: int
    started_at: datetime
    in_recovery: bool
    address: str | None
    can_signal: bool
    system: int | None = None
    timeline: int | None = None
    position: int | None = None
    rival: bool = False
    holder: Holder | None = None
    route: Route | None = None

    @property
    def identity(self) -> str:
        """What a restart leaves and a failover changes, for records; empty when it was not told."""
        if self.system is None or (self.timeline is None and not self.in_recovery):
            return ""
        return f"{self.system}/{'standby' if self.in_recovery else self.timeline}"


def restarted(before: Server | None, now: Server | None) -> bool:
    """Tell whether the postmaster is another one, be it of the same server or not."""
    return before is not None and now is not None and before.started_at != now.started_at


def replaced(before: Server | None, now: Server | None) -> str:
    """Say how a server differs from the one that answered before, empty when it is the same.

    A plain restart leaves all of it as it was. What the server does not tell is not compared.

    Args:
        before: The server of the newest reading so far, None when there is none.
        now: The server of this reading, None when nothing is known of it.
    """
    if before is None or now is None or before == now:
        return ""
    return ", ".join(_differences(before, now))


def _differences(before: Server, now: Server) -> Iterator[str]:
    if now.in_recovery != before.in_recovery:
        yield "a standby now" if now.in_recovery else "a primary now, was a standby"
    if _differ(before.system, now.system):
        yield f"system identifier {now.system}, was {before.system}"
    elif _differ(before.timeline, now.timeline):
        yield f"timeline {now.timeline}, was {before.timeline}"
    elif before.position is not None and now.position is not None and now.position < before.position:
        yield f"{before.position - now.position} bytes of write-ahead log behind what was there before"
    # One server can have several addresses, but it is the same one as long as it was not started again.
    if restarted(before, now) and now.address != before.address:
        yield f"address {now.address or 'local'}, was {before.address or 'local'}"


def _differ(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and before != now
