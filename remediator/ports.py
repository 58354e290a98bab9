"""What the cycle needs from the world, as protocols; adapters and the shipped fakes implement them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from remediator.core.clock import ClockMark
from remediator.core.deposition import Deposition
from remediator.core.directory import Directory
from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Intent, Ledger, Lock, Outcome, Pause
from remediator.core.model import Moment, Replica, Sample, Session, SessionId
from remediator.core.policy import Policy
from remediator.core.reading import Reading
from remediator.core.turn import Turn

History = tuple[tuple[Incident, ...], tuple[Entry, ...]]
NO_STARTS: Mapping[str, datetime] = MappingProxyType({})
KEPT = timedelta(days=31)
KEEP_RECORDS = timedelta(days=90)
"""For how long the daemon keeps what was done, and what was seen meanwhile."""
AHEAD = timedelta(hours=1)
"""More than one cycle may ever be ahead of another on the ledger's clock."""


class Receipt(StrEnum):
    """What is known right after an act, before looking at the world."""

    SENT = "sent"
    SIMULATED = "simulated"
    CHANGED = "changed"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> Moment:
        """Read both clocks."""
        ...


class Database(Protocol):
    """One PostgreSQL server.

    What is asked after a sample is asked of the very server that the sample is of: when the connection was
    lost in between, there is no answer, and nothing is done, before the next sample.
    """

    @property
    def name(self) -> str:
        """Its name in the config."""
        ...

    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        """Read slots, grouped sessions and the probe; never raises, trouble is in the sample.

        Args:
            moment: The time of the sample.
            starts: From when on a session can be of whoever has its address now, by address; sessions from
                before then are not grouped with those from after it.
        """
        ...

    async def sessions(self) -> tuple[Session, ...]:
        """Read every session with what decides whether it may be terminated.

        Raises:
            UnavailableError: The server did not answer in time.
        """
        ...

    async def terminate(self, sessions: Sequence[Session], older_than: timedelta) -> tuple[Receipt, ...]:
        """Ask the server to terminate each session that is still as it was and idle for long enough.

        Never raises for a single session; one receipt per session, in order. `UNKNOWN` for those
        whose statement's fate is not known because the connection failed.
        """
        ...

    async def may_act(self) -> bool:
        """Tell, right before an act that the server cannot fence, whether no other remediator may act.

        Never raises; false when it is not certain.
        """
        ...

    async def alive(self, ids: Sequence[SessionId], patience: timedelta) -> frozenset[SessionId]:
        """Look until none of these sessions exists, for at most `patience`; tell which still do.

        Raises:
            UnavailableError: The server did not answer in time.
        """
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class Runtime(Protocol):
    """What runs one service: Compose, or a command."""

    async def replicas(self) -> tuple[Replica, ...]:
        """Read the state of every replica, in a stable order.

        Raises:
            UnavailableError: The runtime did not answer in time.
            RejectedError: It does not allow reading, or cannot be read at all.
        """
        ...

    async def restart(self, replica: Replica) -> Receipt:
        """Restart one replica, if it still is what it was.

        Takes as long as the replica takes to stop. What came of it must be read with `replicas`:
        a time-out here proves nothing.

        Raises:
            UnavailableError: No answer; it may have been restarted or not.
            RejectedError: Refused; it was not restarted.
        """
        ...


@runtime_checkable
class Questioned(Protocol):
    """A runtime whose replicas are asked something before they are restarted, which may take long."""

    async def question(self, replica: Replica) -> None:
        """Ask, and keep the answer; takes no longer than agreed, and never raises."""
        ...


class Directories(Protocol):
    """Knows which containers run at which addresses."""

    async def read(self) -> Directory:
        """Tell what is known; never raises, and waits for nobody for longer than a moment."""
        ...


class LedgerStore(Protocol):
    """Durable records. Every method raises LedgerError when the store cannot be used."""

    async def load(self, since: datetime) -> Ledger:
        """Read open incidents with their entries, other entries made since then or open, pause and locks.

        Args:
            since: A time on the ledger's own clock.
        """
        ...

    async def clock(self) -> ClockMark | None:
        """Read where all clocks stood when that was last kept, None when it never was."""
        ...

    async def keep_clock(self, mark: ClockMark) -> None:
        """Record where all clocks stand, durably.

        An entry that is ahead by more than `AHEAD` counts as made then, or it would block for as long.
        """
        ...

    async def save_incident(self, incident: Incident) -> None:
        """Insert or update an incident, durably."""
        ...

    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        """Record an incident's new state and intents in one durable transaction."""
        ...

    async def conclude(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Record outcomes of entries by id; an entry that has an outcome keeps its first one."""
        ...

    async def lock(self, lock: Lock) -> None:
        """Record a lock; an existing one on the same scope stays as it is."""
        ...

    async def pause(self, pause: Pause) -> None:
        """Record a pause, replacing any other."""
        ...

    async def resume(self) -> bool:
        """Remove the pause; tell whether there was one."""
        ...

    async def acknowledge(self) -> tuple[Lock, ...]:
        """Remove all locks; return them."""
        ...

    async def history(self, since: datetime, newest: int | None = None, also: str = "") -> History:
        """Read incidents opened since then or open, entries made since then or of open ones, oldest first.

        With `newest` the entries are those of so many newest incidents, and of the one whose id is `also`.
        """
        ...

    async def prune(self, before: datetime) -> int:
        """Forget closed incidents, and their concluded entries, from before then; tell how many entries.

        Whatever `before` says, what was done in the `KEPT` before the newest entry stays: a clock that
        is years ahead must not empty the budgets.
        """
        ...

    async def check(self) -> None:
        """Make sure that a record could be made now."""
        ...

    async def close(self) -> None:
        """Let go of the store; using it again opens it again."""
        ...


class Observer(Protocol):
    """Told what happens; must never raise or block for long."""

    def emit(self, event: Event, **fields: object) -> None:
        """Take note of an event.

        Args:
            event: What happened.
            fields: Its particulars, plain values that JSON can carry.
        """
        ...


class Follower(Protocol):
    """Gets to see each completed cycle as a whole: to show or to keep it; must never raise or block."""

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Take note of a completed cycle.

        Args:
            database: The database's name.
            policy: The policy by which it was judged.
            turn: What the cycle came to.
        """
        ...


class Recording(Protocol):
    """What was recorded of completed cycles. Every method raises RecordingError when it cannot be read.

    `damaged` counts readings that could not be read so far, and were passed over.
    """

    damaged: int

    async def readings(
        self, database: str, since: datetime, until: datetime, points: int | None = None
    ) -> tuple[Reading, ...]:
        """Read what was seen, oldest first, without surveys and plans.

        Args:
            database: The database's name.
            since: Wall-clock time of the oldest.
            until: Wall-clock time after the newest.
            points: At most so many, spread over the time; of alternatives those with the most slots in use.
        """
        ...

    def whole(self, database: str, since: datetime, until: datetime) -> AsyncIterator[Reading]:
        """Read everything that was kept of that time, oldest first, a part at a time."""
        ...

    async def depositions(self, replica: str, since: datetime, until: datetime) -> tuple[Deposition, ...]:
        """Read what was learned of a replica, by its id, right before it was restarted, oldest first."""
        ...

    def story(self, incident: str, *, surveys: bool = True) -> AsyncIterator[Reading]:
        """Read what was kept of an incident and around it, oldest first; surveys of changed plans only."""
        ...


class Supervisor(Protocol):
    """Whoever watches the watcher: systemd, a container's health check."""

    def ready(self, longest_silence: timedelta) -> None:
        """Tell that checking has begun, and how long a healthy daemon may stay silent."""
        ...

    def alive(self) -> None:
        """Tell that every database's cycles complete."""
        ...

    def stalled(self, databases: Sequence[str]) -> None:
        """Tell that no cycle of these databases was completed in time, though others' cycles are."""
        ...

    def stopping(self) -> None:
        """Tell that the daemon is about to end on purpose."""
        ...
