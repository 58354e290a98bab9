"""The world that the daemon watches: servers, runtimes and ledger, each telling an eye what is done to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple, TypeVar

from remediator.core.ledger import Entry, Incident, Intent, Lock, Outcome, Pause
from remediator.core.model import (
    IDLE,
    Exempt,
    Health,
    Moment,
    Replica,
    ReplicaState,
    Sample,
    Session,
    SessionGroup,
)
from remediator.ports import NO_STARTS, Receipt
from remediator.testing import FakeDatabase, FakeRuntime, FakeSession, Reaction
from remediator.testing.ledger import MemoryLedger
from tests.simulation.virtual import TrueClock

_T = TypeVar("_T")


class Tell(list[_T]):
    """A fake's record of what was done to it, which tells of each deed the moment before it takes effect."""

    def __init__(self, report: Callable[[_T], None]) -> None:
        super().__init__()
        self._report = report

    def append(self, item: _T) -> None:
        """Tell, then remember."""
        self._report(item)
        super().append(item)


_Group = tuple[str, str, str | None, str, float, bool]
_NEVER = datetime.max.replace(tzinfo=UTC)


class _Key(NamedTuple):
    """How a session is counted, as long as its state does not change, and until when."""

    since: datetime | None
    until: datetime
    group: _Group


class SimDatabase(FakeDatabase):
    """A server whose sample is made anew only when something has changed, or a session has come of age.

    Whoever changes a session says so with `touch`; the eye compares samples with fresh ones at times.
    """

    def __init__(self, clock: TrueClock, name: str, size: int) -> None:
        self._kept: Sample | None = None
        self._keys: dict[FakeSession, _Key] = {}
        self._stale_at = clock.now().at
        super().__init__(clock, name, max_connections=size)

    def now(self) -> datetime:
        """Read the server's clock, which is right."""
        return self.clock.now().at

    def restart(self) -> None:
        """Restart the server: only our own session is there afterwards."""
        super().restart()
        self.touch()

    def touch(self) -> None:
        """Note that a session has changed, come or gone."""
        self._kept = None

    def count_by(self, cutoffs: tuple[timedelta, ...]) -> None:
        """Count idle sessions by other ages from now on."""
        self.cutoffs = cutoffs
        self._keys = {}
        self.touch()

    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        """Read slots, grouped sessions and the probe."""
        if self.trouble is not None or not self.readable:
            return await super().sample(moment, starts)
        if self._kept is None or self.now() >= self._stale_at:
            self._kept = await super().sample(moment, starts)
        self._read_on = self._starts
        server = self._server()
        if self._kept.server == server:
            return replace(self._kept, moment=moment)
        return replace(self._kept, moment=moment, server=server)

    async def fresh_sample(self, moment: Moment) -> Sample:
        """Read everything anew, as the fake does it."""
        slots, groups = self._slots(), FakeDatabase._groups(self)  # noqa: SLF001  what is overridden here
        return replace(await super().sample(moment), slots=slots, groups=groups)

    async def terminate(self, sessions: Sequence[Session], older_than: timedelta) -> tuple[Receipt, ...]:
        """Terminate each session that is still as it was."""
        self.touch()
        return await super().terminate(sessions, older_than)

    def kill(self, session: FakeSession) -> None:
        """End a session unguarded, as only a broken adapter would."""
        self.touch()
        self.signals.append(session.id)
        self.leave(session)

    def free(self) -> int:
        """Slots that an ordinary client can get."""
        return self._slots().free - self.half_open

    def used_share(self) -> float:
        """Used slots over usable ones, with clients that are logging in."""
        slots = self._slots()
        return (slots.used + self.half_open) / slots.usable

    def every_session(self) -> list[FakeSession]:
        """All sessions there are."""
        return self._present()

    def _groups(
        self,
        starts: Mapping[str, datetime] = NO_STARTS,  # noqa: ARG002  these services keep their addresses
    ) -> tuple[SessionGroup, ...]:
        """Count sessions as the fake does, but look only at those anew that have changed or come of age."""
        now, keys = self.now(), self._keys
        alike: Counter[_Group] = Counter()
        oldest: dict[_Group, datetime] = {}
        stale_at = now + timedelta(days=1)
        self._keys = kept = {}
        for session in self._clients():
            key = keys.get(session)
            if key is None or key.since is not session.state_change or now >= key.until:
                key = self._key(session, now)
            kept[session] = key
            alike[key.group] += 1
            begun = oldest.setdefault(key.group, session.id.backend_start)
            if session.id.backend_start < begun:
                oldest[key.group] = session.id.backend_start
            stale_at = min(stale_at, key.until, session.ends_at or key.until)
        self._stale_at = stale_at
        return tuple(
            SessionGroup(*group[:5], count=n, unused=group[5], oldest=oldest[group])
            for group, n in alike.items()
        )

    def _recent(self) -> int:
        """Nobody asks, and it would have to be counted anew every time."""
        return 0

    def _key(self, session: FakeSession, now: datetime) -> _Key:
        reached = max(
            (age.total_seconds() for age in self.cutoffs if age.total_seconds() <= session.resting_for),
            default=0.0,
        )
        dues = [session.state_change + age for age in self.cutoffs] if session.state_change else []
        until = min((due for due in dues if due > now), default=_NEVER)
        unused = session.unused and session.state == IDLE
        group = (session.user, session.application, session.address, session.state, reached, unused)
        return _Key(session.state_change, until, group)


class SimRuntime(FakeRuntime):
    """A runtime whose engine carries out a restart in its own time, whether we still wait for it or not."""

    def __init__(self, service: str, replicas: int, *, clock: TrueClock, chance: Random) -> None:
        super().__init__(service, replicas, clock=clock, takes=timedelta(0))
        self._chance = chance
        self._generation = 0
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
            health=Health.HEALTHY if checked else Health.NONE,
        )

    def start_anew(self, name: str) -> Replica:
        """Restart a replica as somebody else might, and return it."""
        super().start_anew(name)
        return self.change(name, started_at=self.clock.now().at)

    def exempt(self, name: str, reason: Exempt | None) -> None:
        """Say that a replica must not be restarted, or may be again."""
        if name in self._replicas:
            self.change(name, exempt=reason)

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


class LedgerEye:
    """Told what is done to the ledger, in the moment in which it becomes durable."""

    def intended(self, incident: Incident, entries: Sequence[Entry]) -> None:
        """Intents were recorded."""

    def concluded(self, before: Entry, after: Entry) -> None:
        """An entry that was open was asked to be given an outcome."""

    def saved(self, incident: Incident) -> None:
        """An incident was recorded."""

    def forbidden(self, what: str) -> None:
        """A pause, or a lock on a scope, was recorded."""


class SimLedger(MemoryLedger):
    """A ledger in memory that tells what becomes durable, and looks at few entries for a load."""

    def __init__(self, eye: LedgerEye) -> None:
        super().__init__()
        self._eye = eye

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record an incident's new state and intents, all or nothing."""
        entries = await super().intend(incident, intents)
        self._eye.saved(incident)
        self._eye.intended(incident, entries)
        return entries

    async def conclude(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Record outcomes by entry."""
        before = [self.entries[number] for number, _ in outcomes]
        await super().conclude(outcomes)
        for entry in before:
            self._eye.concluded(entry, self.entries[entry.id])

    async def save_incident(self, incident: Incident) -> None:
        """Insert or update an incident."""
        await super().save_incident(incident)
        self._eye.saved(incident)

    async def lock(self, lock: Lock) -> None:
        """Record a lock."""
        new = lock.scope not in self._locks
        await super().lock(lock)
        if new:
            self._eye.forbidden(lock.scope)

    async def pause(self, pause: Pause) -> None:
        """Record the pause."""
        await super().pause(pause)
        self._eye.forbidden("pause")

    def in_force(self) -> tuple[Pause | None, dict[str, Lock]]:
        """The pause and the locks, by scope."""
        return self._pause, self._locks

    def open_entries(self) -> list[Entry]:
        """All entries that have no outcome yet."""
        return [entry for entry in self.entries.values() if entry.outcome is None]

    def open_incidents(self) -> list[Incident]:
        """All incidents that are not over."""
        return [incident for incident in self.incidents.values() if incident.closed_at is None]


def states_of(runtime: SimRuntime) -> dict[str, Any]:
    """Replicas in a few words, for the trace."""
    return {r.name: f"{r.state.value}/{r.health.value}/{r.restarts}" for r in runtime.look()}
