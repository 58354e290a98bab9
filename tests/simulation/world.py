"""The world that the daemon watches: servers and runtimes, which tell an eye what is done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, NamedTuple, TypeVar

from remediator.core.model import (
    CLIENT_BACKEND,
    IDLE,
    Exempt,
    Health,
    Moment,
    Replica,
    ReplicaState,
    Sample,
    Session,
    SessionGroup,
    SessionId,
    Slots,
)
from remediator.core.server import Route, Server
from remediator.ports import NO_STARTS, Receipt
from remediator.testing import FakeDatabase, FakeRuntime, FakeSession, Reaction
from tests.simulation.virtual import TrueClock

_T = TypeVar("_T")
HOST = "10.1.0.1"
"""Where the daemon runs: the containers' gateway."""
_ROUTE = Route("10.0.0.1", 5432, ours=HOST, seen=HOST, direct=True)


class Tell(list[_T]):
    """A fake's record of what was done to it, which tells of each deed the moment before it takes effect."""

    def __init__(self, report: Callable[[_T], None]) -> None:
        super().__init__()
        self._report = report

    def append(self, item: _T) -> None:
        """Tell, then remember."""
        self._report(item)
        super().append(item)


class Holder(NamedTuple):
    """Who holds a session: a service, by a container that has not ended unless it says when, in true time."""

    service: str
    left_at: float | None = None


_Group = tuple[str, str, str | None, str, float, bool, bool]


class SimDatabase(FakeDatabase):
    """A server that counts a session anew only when it has changed, come of age, come or gone.

    Whoever changes a session says so with `touch`; the eye compares samples with fresh ones at times.

    Attributes:
        departures: How many sessions have gone.
        holders: Who really holds a session; nobody who is watched holds the others.
        starts: When whoever has an address now was started, as somebody said who asked.
        rival_since: Since when another remediator has the right to act, in seconds of true time.
    """

    def __init__(self, clock: TrueClock, name: str, size: int) -> None:
        self.departures = 0
        self.holders: dict[FakeSession, Holder] = {}
        self.starts: Mapping[str, datetime] = NO_STARTS
        self.rival_since: float | None = None
        self._kept: Sample | None = None
        self._groups_of: dict[FakeSession, _Group] = {}
        self._alike: dict[_Group, dict[FakeSession, None]] = {}
        self._oldest: dict[_Group, datetime] = {}
        self._changed: dict[FakeSession, None] = {}
        self._due: list[tuple[datetime, int, FakeSession]] = []
        self._due_at: dict[FakeSession, datetime] = {}
        self._numbers = count()
        super().__init__(clock, name, max_connections=size)

    def now(self) -> datetime:
        """Read the server's clock, which is right."""
        return self.clock.now().at

    def restart(self) -> None:
        """Restart the server: only our own session is there afterwards."""
        for session in self._sessions.values():
            self.touch(session)
        self.rival_since = None
        super().restart()

    def open(self, **what: Any) -> FakeSession:
        """Open a session, idle from now on."""
        session = super().open(**what)
        self.touch(session)
        return session

    def leave(self, session: FakeSession) -> None:
        """Close a session from the client's side; it is no error when it is gone."""
        super().leave(session)
        self.touch(session)

    def touch(self, *sessions: FakeSession) -> None:
        """Note that the server, or a session, has changed."""
        self._kept = None
        for session in sessions:
            self._changed[session] = None

    def count_by(self, cutoffs: tuple[timedelta, ...]) -> None:
        """Count idle sessions by other ages from now on."""
        self.cutoffs = cutoffs
        self.touch(*self._sessions.values())

    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        """Read slots, grouped sessions and the probe."""
        if self.trouble is not None or not self.readable:
            return await super().sample(moment, starts)
        self._know(starts)
        if self._kept is None or (self._due and self._due[0][0] <= self.now()):
            self._kept = await super().sample(moment, starts)
        self._read_on = self._starts
        kept, server = self._kept, self._server()
        if kept.server == server:
            server = kept.server
        sample = Sample(moment, kept.slots, kept.groups, kept.probe, server=server)
        return replace(sample, counters=self.counters.read(self.version), signalled=len(self.signals))

    async def fresh_sample(self, moment: Moment) -> Sample:
        """Read everything anew, as the fake does it."""
        slots = FakeDatabase._slots(self)  # noqa: SLF001  overridden here, like the groups
        groups = FakeDatabase._groups(self, self.starts)  # noqa: SLF001
        return replace(await super().sample(moment, self.starts), slots=slots, groups=groups)

    async def terminate(self, sessions: Sequence[Session], older_than: timedelta) -> tuple[Receipt, ...]:
        """Terminate each session that is still as it was."""
        receipts = await super().terminate(sessions, older_than)
        self.touch(*(there for session in sessions if (there := self._sessions.get(session.id))))
        return receipts

    def kill(self, session: FakeSession) -> None:
        """End a session unguarded, as only a broken adapter would."""
        self.signals.append(session.id)
        self.leave(session)

    def free(self) -> int:
        """Slots that an ordinary client can get."""
        return self._slots().free - self.half_open

    def find(self, wanted: SessionId) -> FakeSession | None:
        """The session of this identity, if it is there."""
        session = self._sessions.get(wanted)
        return session if session is not None and self._lives(session, self.now()) else None

    def every_session(self) -> list[FakeSession]:
        """All sessions there are."""
        return self._present()

    def those_left(self, sessions: list[FakeSession]) -> list[FakeSession]:
        """Those of some clients' sessions that are there still."""
        self._refresh()
        return [session for session in sessions if session in self._groups_of]

    def _present(self) -> list[FakeSession]:
        self._refresh()
        return list(self._sessions.values())

    def _slots(self) -> Slots:
        self._refresh()
        return Slots(self.max_connections, self.superuser_reserved, self.reserved, len(self._groups_of))

    def _know(self, starts: Mapping[str, datetime]) -> None:
        """Count the sessions anew from whose address somebody else comes by now."""
        known = self.starts
        if starts == known:
            return
        changed = {at for at in starts.keys() | known.keys() if starts.get(at) != known.get(at)}
        self.starts = dict(starts)
        self.touch(*(session for session in self._groups_of if session.address in changed))

    def _groups(
        self,
        starts: Mapping[str, datetime] = NO_STARTS,  # noqa: ARG002  they are known
    ) -> tuple[SessionGroup, ...]:
        self._refresh()
        for group in self._alike.keys() - self._oldest.keys():
            self._oldest[group] = min(session.id.backend_start for session in self._alike[group])
        return tuple(
            SessionGroup(*group[:5], count=len(members), unused=group[5], oldest=self._oldest[group])
            for group, members in self._alike.items()
        )

    def _server(self) -> Server:
        return replace(super()._server(), route=_ROUTE)

    def _recent(self) -> int:
        """Nobody asks, and it would have to be counted anew every time."""
        return 0

    def _refresh(self) -> None:
        now, due = self.now(), self._due
        while due and due[0][0] <= now:
            at, _, session = heappop(due)
            if self._due_at.get(session) == at:  # else it has changed since
                self._changed[session] = None
        if not self._changed:
            return
        self._kept = None
        for session in self._changed:
            self._count(session, now)
        self._changed.clear()

    def _count(self, session: FakeSession, now: datetime) -> None:
        self._due_at.pop(session, None)
        before = self._groups_of.pop(session, None)
        if before is not None:
            self._leave_group(session, before)
        there = self._sessions.get(session.id) is session
        if there and not self._lives(session, now):
            there = False
            del self._sessions[session.id]
        if not there:
            self.departures += 1
            self.holders.pop(session, None)
            return
        if session.backend_type == CLIENT_BACKEND:
            self._join_group(session, self._group(session, now))
        dues = [session.state_change + age for age in self.cutoffs] if session.state_change else []
        dues += [session.ends_at] if session.ends_at else []
        if coming := [at for at in dues if at > now]:
            self._due_at[session] = first = min(coming)
            heappush(self._due, (first, next(self._numbers), session))

    def _group(self, session: FakeSession, now: datetime) -> _Group:
        rested, reached = session.resting_at(now), 0.0
        for age in self.cutoffs:  # ascending
            if (seconds := age.total_seconds()) <= rested:
                reached = seconds
        unused = session.unused and session.state == IDLE
        started = self.starts.get(session.address or "")
        before = started is not None and session.id.backend_start < started
        return session.user, session.application, session.address, session.state, reached, unused, before

    def _join_group(self, session: FakeSession, group: _Group) -> None:
        self._groups_of[session] = group
        self._alike.setdefault(group, {})[session] = None
        if group in self._oldest:
            self._oldest[group] = min(self._oldest[group], session.id.backend_start)

    def _leave_group(self, session: FakeSession, group: _Group) -> None:
        members = self._alike[group]
        del members[session]
        if not members:
            del self._alike[group]
        if not members or session.id.backend_start == self._oldest.get(group):
            self._oldest.pop(group, None)


class SimRuntime(FakeRuntime):
    """A runtime whose engine carries out a restart in its own time, whether we still wait for it or not."""

    def __init__(
        self,
        service: str,
        replicas: int,
        *,
        clock: TrueClock,
        chance: Random,
        address: Callable[[str], str],
    ) -> None:
        super().__init__(service, replicas, clock=clock, takes=timedelta(0))
        self._address = address
        self._chance = chance
        self._generation = 0
        self.size = replicas
        self.exempt_since: dict[str, float] = {}
        """Since when which container must not be restarted, in seconds of true time, by its id."""
        self.under_way: set[asyncio.Task[Receipt]] = set()
        self.reactions: tuple[tuple[Reaction, ...], tuple[float, ...]] = ((Reaction.COMPLY,), (1.0,))
        self.pretends = 0.0
        """How often it says that it has restarted something, and has not."""
        self.stop_takes: tuple[float, float] = (0.1, 5.0)

    async def restart(self, replica: Replica) -> Receipt:
        """Restart one replica, if it still is what it was when it has stopped."""
        work = asyncio.get_running_loop().create_task(self._carry_out(replica))
        self.under_way.add(work)
        work.add_done_callback(self._done)
        return await asyncio.shield(work)

    async def replicas(self) -> tuple[Replica, ...]:
        """Read the state of every replica."""
        self._looping &= self._replicas.keys()
        return await super().replicas()

    def look(self) -> tuple[Replica, ...]:
        """See every replica, even while the runtime does not answer."""
        return tuple(self._replicas.values())

    def deploy(self, number: int, *, checked: bool) -> None:
        """Replace a replica by a new container of the same name, or bring it back."""
        name = f"{self.service}-{number}"
        self._generation += 1
        self._looping.discard(name)
        self._replicas[name] = Replica(
            service=self.service,
            id=f"{name}-id{self._generation}",
            name=name,
            state=ReplicaState.RUNNING,
            started=self._token(),
            started_at=self.clock.now().at,
            addresses=frozenset({self._address(name)}),
            health=Health.HEALTHY if checked else Health.NONE,
        )

    def start_anew(self, name: str) -> Replica:
        """Restart a replica as somebody else might, and return it."""
        super().start_anew(name)
        return self.change(name, started_at=self.clock.now().at)

    def exempt(self, name: str, reason: Exempt | None) -> None:
        """Say that a replica must not be restarted, or may be again."""
        if name not in self._replicas:
            return
        known = self.change(name, exempt=reason).id
        if reason is None:
            self.exempt_since.pop(known, None)
        else:
            self.exempt_since.setdefault(known, self.clock.now().mono)

    async def _carry_out(self, replica: Replica) -> Receipt:
        await asyncio.sleep(self._chance.uniform(*self.stop_takes))
        if self._chance.random() < self.pretends:
            return Receipt.SENT
        if replica.name in self._replicas:
            kinds, weights = self.reactions
            self.script(replica.name, self._chance.choices(kinds, weights)[0])
        return await super().restart(replica)

    def _done(self, work: asyncio.Task[Receipt]) -> None:
        self.under_way.discard(work)
        if not work.cancelled():
            work.exception()  # whoever asked may have died
