"""One session of a PostgreSQL server in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.model import CLIENT_BACKEND, IDLE, SessionId

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

    @property
    def in_transaction(self) -> bool:
        """Whether it has a transaction open; a statement has one of its own."""
        return self.state in {ACTIVE, IN_TRANSACTION}

    @property
    def idle_for(self) -> float:
        """Seconds since it became idle, 0 unless it is."""
        if self.state != IDLE or self.state_change is None:
            return 0.0
        return (self.now() - self.state_change).total_seconds()

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
        self.state, self.state_change = state, now
