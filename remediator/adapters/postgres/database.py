"""One PostgreSQL server behind the `Database` port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from remediator.adapters.postgres import queries
from remediator.adapters.postgres.ages import Ages, steady
from remediator.adapters.postgres.claim import LOCK, Claim
from remediator.adapters.postgres.connect import ConnectError
from remediator.adapters.postgres.connection import Connection, NoAnswerError
from remediator.adapters.postgres.identity import Identity, Whereabouts
from remediator.adapters.postgres.rows import (
    TOLD_TIME,
    Privileges,
    privileges_of,
    sample_of,
    server_of,
    session_of,
    truly_accepted,
)
from remediator.core.model import (
    Moment,
    Probe,
    ProbeResult,
    Sample,
    Session,
    SessionId,
)
from remediator.core.server import Holder, Server
from remediator.core.trouble import Trouble, TroubleKind
from remediator.ports import NO_STARTS, Receipt

_MOVED = Trouble(TroubleKind.MOVED, "new connections reach another server than the one that was read")
# An open session keeps what it logged in as, so a role that was dropped and made anew needs a new session.
_REFUSED = frozenset({TroubleKind.DENIED, TroubleKind.FAILED})
_LOOK_EVERY = 0.05
_SECONDS_PER_TERMINATION = 0.02


@dataclass(slots=True)
class PostgresDatabase:
    """One server, watched through one long-lived connection and an occasional probe.

    Attributes:
        name: The database's name in the config.
        connection: The long-lived connection.
        cutoffs: Idle ages to count sessions by, ascending, in seconds.
        probe_every: Seconds between connect probes while they are accepted; 0 for no probes.
        claim: The right to act.
    """

    name: str
    connection: Connection
    cutoffs: tuple[float, ...]
    probe_every: float
    claim: Claim
    _probe: Probe | None = field(default=None, init=False)
    _probed_at: float = field(default=0.0, init=False)
    _addresses: frozenset[str] = field(default=frozenset(), init=False)
    _server: Server | None = field(default=None, init=False)
    _read_on: int | None = field(default=None, init=False)
    _identity: Identity = field(init=False)
    _whereabouts: Whereabouts = field(default_factory=Whereabouts, init=False)
    _ages: Ages = field(default_factory=Ages, init=False)
    _signalled: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._identity = Identity(self.connection)

    @property
    def addresses(self) -> frozenset[str]:
        """Network addresses at which the server was last reached, by its own and by our account."""
        return self._addresses

    def count_by(self, cutoffs: Sequence[timedelta]) -> None:
        """Count idle sessions by these ages from now on."""
        self.cutoffs = tuple(sorted(cutoff.total_seconds() for cutoff in cutoffs))

    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        """Read slots, grouped sessions and the probe; never raises, trouble is in the sample."""
        cutoffs = self.cutoffs  # a reload may change them while the server answers
        try:
            row, clock_set = await self._read(cutoffs, starts)
            opened = self.connection.opened
            server = await self._identity.of(server_of(row, self.connection.ends), opened)
            if not await self.claim.take(opened):
                server = replace(server, rival=True, holder=await self.claim.holder(opened))
        except NoAnswerError as error:
            if error.trouble.kind in _REFUSED:
                await self.connection.close()
            return await self._without_reading(moment, error.trouble)
        sample = sample_of(moment, row, cutoffs)
        signalled = self._signalled + self.claim.ended
        sample = replace(sample, server=server, clock_set=clock_set, signalled=signalled)
        if self._read_on != self.connection.opened:
            self._probe = None  # it may have met another server
        self._server, self._read_on = server, self.connection.opened
        self._addresses = frozenset(filter(None, (server.address, self.connection.server_address)))
        full = sample.slots is not None and not sample.slots.free
        probe = await self._probe_if_due(full=full)
        if self._whereabouts.moved(server):
            await self.connection.close()
            return await self._without_reading(moment, _MOVED)
        return replace(sample, probe=truly_accepted(probe) if full else probe)

    async def _read(self, cutoffs: Sequence[float], starts: Mapping[str, datetime]) -> tuple[TupleRow, float]:
        """Read a sample's row, and by how many seconds the server's clock was set since the last one."""
        row, clock_set = await self._read_once(cutoffs, starts)
        if clock_set > 0.0:  # the ages in it are wrong
            row, more = await self._read_once(cutoffs, starts)
            clock_set += more
        return row, clock_set

    async def _read_once(
        self, cutoffs: Sequence[float], starts: Mapping[str, datetime]
    ) -> tuple[TupleRow, float]:
        wanted = {
            "cutoffs": list(cutoffs),
            "ahead": self._ages.ahead,
            "until": self._ages.until,
            "addresses": list(starts),
            "starts": list(starts.values()),
        }
        asked = steady()
        row = (await self.connection.fetch(queries.SAMPLE, wanted))[0]
        return row, self._ages.note(row[TOLD_TIME], asked, steady())

    async def _without_reading(self, moment: Moment, trouble: Trouble) -> Sample:
        """Make the best of having no connection: a refusal for want of slots is itself a probe."""
        if trouble.kind is TroubleKind.FULL:
            probe = Probe(ProbeResult.REFUSING, "53300", trouble.detail)
        else:
            probe = Probe(ProbeResult.UNAVAILABLE, None, trouble.detail)
        self._read_on = 0  # of a server that has not been looked at, no session is touched
        self._probe = None  # ask afresh as soon as there is a connection
        return Sample(moment, probe=probe, trouble=trouble, server=self._server)

    async def _probe_if_due(self, *, full: bool) -> Probe | None:
        if not self.probe_every:
            return None
        now = asyncio.get_running_loop().time()
        accepted = self._probe is not None and self._probe.result is ProbeResult.ACCEPTED
        if full or not accepted or now - self._probed_at >= self.probe_every:
            self._probe = await self.probe()
            self._probed_at = now
        return self._probe

    async def probe(self) -> Probe:
        """Connect as a client would, and leave again; never raises."""
        begun = perf_counter()
        try:
            connection = await self.connection.open()
        except ConnectError as error:
            full = error.trouble.kind is TroubleKind.FULL
            result = ProbeResult.REFUSING if full else ProbeResult.UNAVAILABLE
            seconds = perf_counter() - begun
            return Probe(result, error.sqlstate, error.trouble.detail, seconds, own_limit=error.own_limit)
        seconds = perf_counter() - begun
        try:
            await self._whereabouts.meet(connection, max(0.1, self.connection.connect_timeout - seconds))
        finally:
            await connection.close()
        return Probe(ProbeResult.ACCEPTED, seconds=seconds)

    async def sessions(self) -> tuple[Session, ...]:
        """Read every session with what decides whether it may be terminated.

        Raises:
            UnavailableError: The server did not answer in time.
        """
        own = self.connection.params.get("application_name", "")
        rows = await self.connection.fetch(queries.SESSIONS, {"own": own}, on=self._read_on)
        return tuple(self._ages.corrected(session_of(row)) for row in rows)

    async def terminate(self, sessions: Sequence[Session], older_than: timedelta) -> tuple[Receipt, ...]:
        """Ask the server to terminate each session that is still as it was and idle for long enough.

        One statement each: a batch would be lost as a whole, record and all, at the first session
        that may not be signalled.
        """
        receipts: list[Receipt] = []
        timeout = self.connection.query_timeout + _SECONDS_PER_TERMINATION * len(sessions)
        try:
            async with self.connection.cursor(timeout, on=self._read_on) as cursor:
                for session in sessions:
                    receipts.append(await self._terminate(cursor, session, older_than))  # noqa: PERF401
        except NoAnswerError:
            self._signalled += 1  # the one that was asked for last may have been told to end
        return tuple(receipts) + (Receipt.UNKNOWN,) * (len(sessions) - len(receipts))

    async def _terminate(
        self, cursor: AsyncCursor[TupleRow], session: Session, older_than: timedelta
    ) -> Receipt:
        guard: Mapping[str, Any] = {
            "pid": session.id.pid,
            "backend_start": session.id.backend_start,
            "state_change": session.state_change,
            "older_than": self._ages.cutoff(session, older_than),
            "claimed": self.claim.wanted,
            **LOCK,
        }
        try:
            await cursor.execute(queries.TERMINATE, guard, prepare=True)
            row = await cursor.fetchone()
        except psycopg.errors.InsufficientPrivilege:
            return Receipt.DENIED
        # False comes with a warning that the pid is no server process any more: it has just gone.
        if row is None or not row[0]:
            return Receipt.CHANGED
        self._signalled += 1
        return Receipt.SENT

    async def may_act(self) -> bool:
        """Ask the server whether no other remediator may act on it; never raises.

        A server that does not let us in for want of slots cannot be asked: what was known last counts.
        """
        if not self.claim.wanted:
            return True
        if not self._read_on:
            return self._server is None or not self._server.rival
        try:
            return await self.claim.confirm(self._read_on)
        except NoAnswerError:
            return False

    async def holder(self) -> Holder | None:
        """Ask who has the right to act, None for nobody; it is not taken.

        Raises:
            UnavailableError: The server did not answer in time.
        """
        return await self.claim.holder()

    async def alive(self, ids: Sequence[SessionId], patience: timedelta) -> frozenset[SessionId]:
        """Look until none of these sessions exists, for at most `patience`; tell which still do.

        Raises:
            UnavailableError: The server did not answer in time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + patience.total_seconds()
        remaining = await self._look(ids)
        while remaining and loop.time() < end:
            await asyncio.sleep(_LOOK_EVERY)
            remaining = await self._look(tuple(remaining))
        return remaining

    async def _look(self, ids: Sequence[SessionId]) -> frozenset[SessionId]:
        wanted = {"pids": [i.pid for i in ids], "starts": [i.backend_start for i in ids]}
        rows = await self.connection.fetch(queries.ALIVE, wanted, on=self._read_on)
        return frozenset(SessionId(pid, start) for pid, start in rows)

    async def privileges(self) -> Privileges:
        """Read what our role may do.

        Raises:
            UnavailableError: The server did not answer in time.
        """
        return privileges_of((await self.connection.fetch(queries.PRIVILEGES))[0])

    async def clock_skew(self, at: datetime) -> timedelta:
        """Read by how much the server's clock is ahead of ours.

        Args:
            at: Our wall-clock time.

        Raises:
            UnavailableError: The server did not answer in time.
        """
        ((theirs,),) = await self.connection.fetch("select clock_timestamp()")
        skew: timedelta = theirs - at
        return skew

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()
