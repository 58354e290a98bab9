"""A PostgreSQL server in memory, for tests of what is built on the `Database` port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from remediator.core.model import (
    CLIENT_BACKEND,
    IDLE,
    Moment,
    Probe,
    ProbeResult,
    Sample,
    Session,
    SessionGroup,
    SessionId,
    Slots,
)
from remediator.core.server import Server
from remediator.core.trouble import Trouble, TroubleKind
from remediator.errors import UnavailableError
from remediator.ports import NO_STARTS, Clock, Receipt
from remediator.testing.claim import FakeClaim
from remediator.testing.counters import FakeCounters
from remediator.testing.session import TICK, FakeSession, grouped

_HIDDEN = Trouble(TroubleKind.HIDDEN, "our role may not see other roles' sessions")
_ACCEPTED = Probe(ProbeResult.ACCEPTED)
_REFUSED = Probe(ProbeResult.REFUSING, "53300", "too many clients already")
_CUT_OFF = Trouble(TroubleKind.UNREACHABLE, "the connection was lost")


@dataclass(slots=True)
class FakeDatabase:
    """A server whose slots, sessions, rights and failures are set by the test; time is the clock's alone.

    The server's own time follows the monotonic clock, so that our wall clock can be wrong.

    Attributes:
        cutoffs: Idle ages to count sessions by, ascending.
        system: The system identifier; None for a server that does not tell it.
        timeline: Another one after each `fail_over`.
        half_open: Slots held by clients that have not logged in: they are in no view.
        trouble: Why there is no answer, as long as it is set: samples carry it, all else fails with it.
        readable: Our role may see other roles' sessions.
        can_signal: Our role may terminate other roles' sessions.
        break_after: The connection is lost at this attempt to terminate, counted from 0, once the
            server has done it; then this is None again.
        counters: What the server has counted.
        gate: While set, every call waits for this event first, as for a server that is slow.
        claim: The right to act, which nobody asks for unless the test says so.
        signals: The sessions that were signalled, in order.
    """

    clock: Clock
    name: str = "fake"
    max_connections: int = 100
    superuser_reserved: int = 3
    reserved: int = 0
    cutoffs: tuple[timedelta, ...] = (timedelta(minutes=10),)
    version: int = 160000
    in_recovery: bool = False
    address: str | None = "10.0.0.1"
    system: int | None = 7_700_000_000_000_000_000
    timeline: int = 1
    half_open: int = 0
    trouble: Trouble | None = None
    readable: bool = True
    can_signal: bool = True
    break_after: int | None = None
    counters: FakeCounters = field(default_factory=FakeCounters)
    gate: asyncio.Event | None = None
    claim: FakeClaim = field(default_factory=FakeClaim)
    signals: list[SessionId] = field(default_factory=list)
    closed: bool = False
    _epoch: Moment = field(init=False)
    _started_at: datetime = field(init=False)
    _starts: int = field(default=0, init=False)
    _read_on: int | None = field(default=None, init=False)
    _sessions: dict[SessionId, FakeSession] = field(default_factory=dict, init=False)
    _pids: count[int] = field(default_factory=lambda: count(1000), init=False)

    def __post_init__(self) -> None:
        self._epoch = self.clock.now()
        self.restart()

    def now(self) -> datetime:
        """Read the server's clock."""
        return self._epoch.at + timedelta(seconds=self.clock.now().mono - self._epoch.mono)

    def restart(self) -> None:
        """Restart the server: only our own session is there afterwards."""
        self._started_at = self.now() + TICK * self._starts  # no two starts are in the same instant
        self._starts += 1
        self._sessions.clear()
        self.claim.leave()
        self.half_open = 0
        self.open(user="remediator", application="remediator", own=True).run()

    def fail_over(self) -> None:
        """Let a standby that was promoted take this server's place, with none of its sessions."""
        self.timeline += 1
        self.restart()

    def open(
        self,
        *,
        user: str = "app",
        application: str = "leaky",
        address: str | None = "10.0.0.2",
        backend_type: str = CLIENT_BACKEND,
        superuser: bool = False,
        own: bool = False,
        pid: int | None = None,
    ) -> FakeSession:
        """Open a session, idle from now on; a `pid` that was used before is used again."""
        now = self.now() if pid is None else self.now() + TICK  # a pid is never reused in the same instant
        session = FakeSession(
            self.now,
            SessionId(next(self._pids) if pid is None else pid, now),
            user=user,
            application=application,
            address=address,
            backend_type=backend_type,
            state_change=now,
            superuser=superuser,
            own=own,
        )
        self._sessions[session.id] = session
        self.counters.begun += 1
        return session

    def leave(self, session: FakeSession) -> None:
        """Close a session from the client's side; it is no error when it is gone."""
        self._sessions.pop(session.id, None)

    def vanish(self, session: FakeSession) -> None:
        """Let a session's client be lost without a word, which the server notices at once."""
        self.leave(session)
        self.counters.abandoned += 1

    def dismiss(self, session: FakeSession) -> None:
        """Let an operator end a session."""
        self.leave(session)
        self.counters.killed += 1

    def exists(self, session: FakeSession) -> bool:
        """Tell whether the server still has this session."""
        return self._sessions.get(session.id) is session and self._lives(session, self.now())

    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        """Read slots, grouped sessions and the probe; never raises, trouble is in the sample."""
        await self._wait()
        if self.trouble is not None:
            full = self.trouble.kind is TroubleKind.FULL
            result = ProbeResult.REFUSING if full else ProbeResult.UNAVAILABLE
            probe = Probe(result, "53300" if full else None, self.trouble.detail)
            self._read_on = 0
            return Sample(moment, probe=probe, trouble=self.trouble)
        self._read_on = self._starts
        server = self._server()
        if not self.readable:
            return Sample(moment, probe=self._probe(self._slots()), trouble=_HIDDEN, server=server)
        slots, groups = self._slots(), self._groups(starts)
        sample = Sample(moment, slots, groups, self._probe(slots), server=server, recent=self._recent())
        return replace(sample, counters=self.counters.read(self.version), signalled=len(self.signals))

    async def sessions(self) -> tuple[Session, ...]:
        """Read every session with what decides whether it may be terminated.

        Raises:
            UnavailableError: `trouble` is set, or the server was restarted since the last sample.
        """
        await self._answer()
        now = self.now()
        return tuple(s.seen(now, readable=self.readable) for s in self._present())

    async def terminate(self, sessions: Sequence[Session], older_than: timedelta) -> tuple[Receipt, ...]:
        """Terminate each session that is still as it was and idle for long enough."""
        await self._wait()
        if self.trouble is not None or self._moved:
            return (Receipt.UNKNOWN,) * len(sessions)
        receipts: list[Receipt] = []
        for index, chosen in enumerate(sessions):
            receipt = self._terminate(chosen, older_than)
            if index == self.break_after:
                self.break_after, self.trouble = None, _CUT_OFF
                return tuple(receipts) + (Receipt.UNKNOWN,) * (len(sessions) - index)
            receipts.append(receipt)
        return tuple(receipts)

    async def may_act(self) -> bool:
        """Tell whether we have the right to act still."""
        return not self._moved and self.claim.ours if self._read_on else not self.claim.lost

    async def alive(self, ids: Sequence[SessionId], patience: timedelta) -> frozenset[SessionId]:
        """Tell which of these sessions would still exist after `patience`; the clock is not moved.

        Raises:
            UnavailableError: `trouble` is set.
        """
        await self._answer()
        then = self.now() + patience
        there = [session for wanted in ids if (session := self._sessions.get(wanted)) is not None]
        for session in there:
            if not self._lives(session, then):
                self.dismiss(session)
        return frozenset(session.id for session in there if self._lives(session, then))

    async def close(self) -> None:
        """Take note that it was closed."""
        self.closed = True

    def _terminate(self, chosen: Session, older_than: timedelta) -> Receipt:
        session = self._sessions.get(chosen.id)
        if session is None or not self._lives(session, self.now()):
            return Receipt.CHANGED
        if session.flips:
            session.run()
            session.rest()
        now = self.now()
        unchanged = (
            self.readable
            and session.backend_type == CLIENT_BACKEND
            and session.state == IDLE
            and session.state_change is not None
            and session.state_change == chosen.state_change
            and session.state_change <= now - older_than
            and not session.superuser
            and not session.own
            and self.claim.ours
        )
        if not unchanged:
            return Receipt.CHANGED
        if not self.can_signal:
            return Receipt.DENIED
        self.signals.append(session.id)
        if session.lingers is not None and session.ends_at is None:
            session.ends_at = now + session.lingers
        return Receipt.SENT

    def _present(self) -> list[FakeSession]:
        now = self.now()
        there = [session for session in self._sessions.values() if self._lives(session, now)]
        if len(there) != len(self._sessions):
            self.counters.killed += len(self._sessions) - len(there)
            self._sessions = {session.id: session for session in there}
        return there

    def _lives(self, session: FakeSession, now: datetime) -> bool:
        return session.ends_at is None or session.ends_at > now

    async def _wait(self) -> None:
        if self.gate is not None:
            await self.gate.wait()

    async def _answer(self) -> None:
        await self._wait()
        if self.trouble is not None:
            raise UnavailableError(self.trouble.detail)
        if self._moved:
            raise UnavailableError("the connection was lost since the sample was taken")

    @property
    def _moved(self) -> bool:
        return self._read_on is not None and self._read_on != self._starts

    def _server(self) -> Server:
        return Server(
            self.version,
            self._started_at,
            self.in_recovery,
            self.address,
            self.can_signal,
            system=self.system,
            timeline=None if self.in_recovery else self.timeline,
            rival=not self.claim.take(),
        )

    def _clients(self) -> list[FakeSession]:
        return [session for session in self._present() if session.backend_type == CLIENT_BACKEND]

    def _slots(self) -> Slots:
        return Slots(self.max_connections, self.superuser_reserved, self.reserved, len(self._clients()))

    def _probe(self, slots: Slots) -> Probe:
        return _REFUSED if slots.used + self.half_open >= slots.usable else _ACCEPTED

    def _groups(self, starts: Mapping[str, datetime] = NO_STARTS) -> tuple[SessionGroup, ...]:
        return grouped(self._clients(), self.cutoffs, starts)

    def _recent(self) -> int:
        return sum(1 for s in self._clients() if s.id.backend_start > self.now() - timedelta(minutes=1))
