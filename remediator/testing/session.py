"""One session of a PostgreSQL server in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.model import CLIENT_BACKEND, IDLE, Session, SessionGroup, SessionId

ACTIVE = "active"
IN_TRANSACTION = "idle in transaction"
TICK = timedelta(microseconds=1)


@dataclass(slots=True, eq=False)
class FakeSession:
    """One session of a `FakeDatabase`; its methods move `state_change` as a server does.

    Attributes:
        now: The server's clock.
        lingers: How long it stays after it was terminated; None for ever.
        flips: It runs a statement just before every attempt to terminate it.
        unused: It never ran a statement.
    """

    now: Callable[[], datetime]
    id: SessionId
    user: str = "app"
    database: str = "postgres"
    application: str = "leaky"
    address: str | None = "10.0.0.2"
    backend_type: str = CLIENT_BACKEND
    state: str = IDLE
    state_change: datetime | None = None
    superuser: bool = False
    own: bool = False
    advisory_lock: bool = False
    listening: bool = False
    lingers: timedelta | None = timedelta()
    flips: bool = False
    ends_at: datetime | None = None
    unused: bool = True

    @property
    def in_transaction(self) -> bool:
        """Whether it has a transaction open; a statement has one of its own."""
        return self.state in {ACTIVE, IN_TRANSACTION}

    @property
    def idle_for(self) -> float:
        """Seconds since it became idle, 0 unless it is."""
        return self.idle_at(self.now())

    def idle_at(self, now: datetime) -> float:
        """Seconds since it became idle by this time of the server's clock, 0 unless it is."""
        if self.state != IDLE or self.state_change is None:
            return 0.0
        return (now - self.state_change).total_seconds()

    def seen(self, now: datetime, *, readable: bool) -> Session:
        """What a role gets to see of it that may, or may not, see other roles' sessions."""
        shown = readable or self.own
        return Session(
            self.id,
            self.user,
            self.database,
            self.application,
            self.address if shown else None,
            self.backend_type if shown else None,
            self.state if shown else None,
            self.state_change if shown else None,
            self.idle_at(now) if shown else 0.0,
            in_transaction=shown and self.in_transaction,
            superuser=self.superuser,
            own=self.own,
            advisory_lock=self.advisory_lock,
            listening=shown and self.listening,
            hidden=not shown,
            unused=shown and self.unused and self.state == IDLE,
        )

    @property
    def resting_for(self) -> float:
        """Seconds since it became idle, in a transaction or not, 0 while it runs."""
        return self.resting_at(self.now())

    def resting_at(self, now: datetime) -> float:
        """Seconds since it became idle, in a transaction or not, by this time of the server's clock."""
        if not self.state.startswith(IDLE) or self.state_change is None:
            return 0.0
        return (now - self.state_change).total_seconds()

    def run(self) -> None:
        """Begin a statement that goes on until `rest`."""
        self._turn(ACTIVE)

    def rest(self) -> None:
        """End the statement or transaction; its text no longer tells of a `LISTEN` before it."""
        self.listening = False
        self._turn(IDLE)

    def begin(self) -> None:
        """Begin a transaction and idle in it."""
        self._turn(IN_TRANSACTION)

    def listen(self) -> None:
        """Run `LISTEN` and idle."""
        self.listening = True
        self._turn(IDLE)

    def take_advisory_lock(self) -> None:
        """Take an advisory lock for as long as the session lives, and idle."""
        self.advisory_lock = True
        self.rest()

    def hide_activity(self) -> None:
        """Turn `track_activities` off."""
        self.state, self.state_change = "disabled", None

    def _turn(self, state: str) -> None:
        now = self.now()
        if self.state_change is not None:
            now = max(now, self.state_change + TICK)  # a real clock never stands still between two changes
        self.state, self.state_change, self.unused = state, now, False


def grouped(
    sessions: Iterable[FakeSession], cutoffs: Iterable[timedelta], starts: Mapping[str, datetime]
) -> tuple[SessionGroup, ...]:
    """Count sessions as the sample's query does."""
    seconds = [cutoff.total_seconds() for cutoff in cutoffs]
    alike: dict[tuple[str, str, str | None, str, float, bool, bool], list[datetime]] = {}
    for s in sessions:
        started = starts.get(s.address or "")
        before = started is not None and s.id.backend_start < started
        age = max((x for x in seconds if x <= s.resting_for), default=0.0)
        unused = s.unused and s.state == IDLE
        alike.setdefault((s.user, s.application, s.address, s.state, age, unused, before), []).append(
            s.id.backend_start
        )
    return tuple(
        SessionGroup(*key[:5], count=len(begun), unused=key[5], oldest=min(begun))
        for key, begun in alike.items()
    )
