"""From rows to values: what the statements of this package return, as the core knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg.rows import TupleRow

from remediator.adapters.postgres.connection import Ends
from remediator.core.model import (
    Moment,
    Probe,
    ProbeResult,
    Sample,
    Session,
    SessionGroup,
    SessionId,
    Slots,
)
from remediator.core.server import Counters, Route, Server
from remediator.core.trouble import Trouble, TroubleKind

TOLD_TIME = 13
"""Where a sample's row has the server's clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Privileges:
    """What our role may do on a server, for `doctor`.

    Attributes:
        reserved_slot: A slot is kept for our role when ordinary ones have run out.
        connection_limit: The role's own limit, -1 for none.
    """

    user: str
    superuser: bool
    read_all_stats: bool
    signal_backend: bool
    reserved_slot: bool
    connection_limit: int
    server_version: str


def privileges_of(row: TupleRow) -> Privileges:
    """Make the privileges of our role."""
    user, superuser, stats, signal, may_reserve, reserved, limit, version = row
    return Privileges(
        user=user,
        superuser=superuser,
        read_all_stats=stats,
        signal_backend=signal,
        reserved_slot=bool(may_reserve and reserved) or superuser,
        connection_limit=limit,
        server_version=version,
    )


def sample_of(moment: Moment, row: TupleRow, cutoffs: Sequence[float]) -> Sample:
    """Make a sample; one that saw too little is trouble."""
    maximum, superuser, reserved, used, hidden, *_, recent, counters, groups = row
    if hidden:
        text = "our role may not see other roles' sessions; grant pg_read_all_stats to it"
        return Sample(moment, trouble=Trouble(TroubleKind.HIDDEN, text))
    ages = (0.0, *cutoffs)
    return Sample(
        moment,
        slots=Slots(maximum, superuser, reserved, used),
        groups=tuple(
            SessionGroup(user, application, peer, state, ages[reached], n, unused, _time(oldest))
            for user, application, peer, state, reached, n, unused, oldest in groups
        ),
        recent=recent,
        counters=None if None in counters else Counters(*counters),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def server_of(row: TupleRow, ends: Ends | None) -> Server:
    """Make the server that a sample's row tells of, with the way to it by both ends' account."""
    version, started, recovery, address, port, peer, peer_port, signal = row[5:13]
    route = None
    if ends is not None and peer is not None:
        ours, our_port = ends.ours
        direct = ends.theirs == (address, port) and our_port == peer_port
        route = Route(*ends.theirs, ours, peer, direct)
    return Server(version, started, recovery, address, signal, route=route)


def truly_accepted(probe: Probe | None) -> Probe | None:
    """Correct a probe of a full server that got in through a reserved slot, as no ordinary client would."""
    if probe is None or probe.result is not ProbeResult.ACCEPTED:
        return probe
    return replace(probe, result=ProbeResult.REFUSING, detail="only reserved slots are left")


def session_of(row: TupleRow) -> Session:
    """Make a session."""
    return Session(SessionId(row[0], row[1]), *row[2:])
