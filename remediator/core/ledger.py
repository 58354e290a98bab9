"""What was intended and what came of it; budgets, cooldowns and locks are computed from this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from remediator.core.model import SessionId
from remediator.core.plan import Action, RestartReplica, TerminateSession


class Result(StrEnum):
    """What came of an action."""

    CONFIRMED = "confirmed"  # seen in the world
    SIMULATED = "simulated"  # dry run: nothing was done
    CHANGED = "changed"  # the target changed before the act; nothing was done
    DROPPED = "dropped"  # something came between the decision and the act; nothing was done
    DENIED = "denied"  # we may not; nothing was done
    UNCONFIRMED = "unconfirmed"  # done, but not seen in the world in time
    REFUTED = "refuted"  # done, and the world shows that it did not help
    UNKNOWN = "unknown"  # what came of it could not be found out


_FREE = frozenset({Result.CHANGED, Result.DROPPED, Result.DENIED})
_DOUBTFUL = frozenset({Result.UNCONFIRMED, Result.REFUTED, Result.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Intent:
    """An action about to be carried out, recorded before it is.

    Attributes:
        round: How often the ladder has been started in this incident, from 1.
        step: Index of the step in the policy.
        server: The identity of the server that a session was on; empty when it is not known.
        steady: The time on the ledger's clock, None in a record from before there was one.
    """

    incident: str
    database: str
    round: int
    step: int
    action: Action
    because: str
    at: datetime
    server: str = ""
    steady: datetime | None = None

    @property
    def counted_at(self) -> datetime:
        """When it counts as made."""
        return self.steady or self.at


@dataclass(frozen=True, slots=True)
class Occasion:
    """What makes the restarts of a service's replicas one restart of the service."""

    service: str
    incident: str
    round: int
    step: int

    @classmethod
    def of(cls, intent: Intent) -> Occasion:
        """The occasion that an intent belongs to; without a service when it is a termination."""
        service = intent.action.replica.service if isinstance(intent.action, RestartReplica) else ""
        return cls(service, intent.incident, intent.round, intent.step)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an intent, recorded after looking at the world."""

    result: Result
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An intent with its outcome; an intent without one is open."""

    id: int
    intent: Intent
    outcome: Outcome | None = None

    @property
    def charged(self) -> bool:
        """Whether it counts against the limits: an open one does, one known to have done nothing does not."""
        return self.outcome is None or self.outcome.result not in _FREE

    @property
    def done(self) -> bool:
        """Whether something came of it, or would have in earnest."""
        return self.charged or (self.outcome is not None and self.outcome.result is Result.SIMULATED)

    @property
    def dropped(self) -> bool:
        """Whether it was decided anew before it was carried out."""
        return self.outcome is not None and self.outcome.result is Result.DROPPED

    @property
    def doubtful(self) -> bool:
        """Whether something was done that is not known to have ended well."""
        return self.outcome is not None and self.outcome.result in _DOUBTFUL


class Phase(StrEnum):
    """Where an incident stands."""

    WORKING = "working"
    RELIEVED = "relieved"
    HELD = "held"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Incident:
    """One stretch of confirmed critical, and how far up the ladder it has come.

    Attributes:
        step: Index of the next step to consider.
        ladder: The steps that the index belongs to, in words; empty when that was not recorded.
        not_before: No decision before this time of the ledger's clock: a step settles, or a round failed.
        failed_rounds: Rounds in which something was done and which brought no relief.
        locked_after: How many of those there were when it was locked last.
        used: Used slots when it opened.
        usable: Usable slots when it opened.
    """

    id: str
    database: str
    opened_at: datetime
    because: str = ""
    phase: Phase = Phase.WORKING
    round: int = 1
    step: int = 0
    not_before: datetime | None = None
    failed_rounds: int = 0
    used: int | None = None
    usable: int | None = None
    relieved_at: datetime | None = None
    closed_at: datetime | None = None
    ladder: str = ""
    locked_after: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's order to observe only.

    Attributes:
        until: When it ends by itself; None means not before `resume`.
        ends: The same on the ledger's clock, which decides; None when that is not known.
    """

    since: datetime
    until: datetime | None
    reason: str = ""
    ends: datetime | None = None

    def holds_at(self, at: datetime) -> bool:
        """Tell whether the pause is in force at this time of the ledger's clock."""
        ends = self.ends or self.until
        return ends is None or at < ends


@dataclass(frozen=True, slots=True)
class Lock:
    """Something that stays untouched until an operator acknowledges.

    Attributes:
        scope: `database:NAME` or `service:NAME`.
    """

    scope: str
    since: datetime
    reason: str


def database_scope(name: str) -> str:
    """The lock scope of a database."""
    return f"database:{name}"


def service_scope(name: str) -> str:
    """The lock scope of a service."""
    return f"service:{name}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger as it was read at one moment: recent entries, all open ones, pause and locks."""

    entries: tuple[Entry, ...] = ()
    incidents: tuple[Incident, ...] = ()
    pause: Pause | None = None
    locks: tuple[Lock, ...] = ()
    # Few among hundreds of terminations, and asked for again and again.
    _open: tuple[Entry, ...] = field(init=False, repr=False, compare=False)
    _restarts: tuple[Entry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        restarts = (e for e in self.entries if isinstance(e.intent.action, RestartReplica))
        object.__setattr__(self, "_restarts", tuple(restarts))
        object.__setattr__(self, "_open", tuple(e for e in self.entries if e.outcome is None))

    def open_entries(self, database: str) -> tuple[Entry, ...]:
        """The intents of one database whose outcome is not known yet."""
        return tuple(e for e in self._open if e.intent.database == database)

    def open_incident(self, database: str) -> Incident | None:
        """The incident of one database that is not closed, if there is one."""
        return next((i for i in self.incidents if i.database == database and i.closed_at is None), None)

    def lock(self, scope: str) -> Lock | None:
        """The lock on this scope, if there is one."""
        return next((lock for lock in self.locks if lock.scope == scope), None)

    def restart_in_flight(self, service: str) -> bool:
        """Tell whether a restart of this service, for any database, has no outcome yet."""
        return any(_service(e) == service for e in self._open)

    def terminations(self, database: str) -> tuple[datetime, ...]:
        """When each session of a database was terminated that counts against its limits."""
        entries = (e for e in self.entries if e.intent.database == database and e.charged)
        return tuple(
            sorted(e.intent.counted_at for e in entries if isinstance(e.intent.action, TerminateSession))
        )

    def restarts_of(self, service: str, apart_from: Occasion | None = None) -> tuple[datetime, ...]:
        """When each restart of a service that counts against its limits was last charged, ascending.

        A rolling restart counts once. One that is under way is left out by `apart_from`: going on
        with it is not another restart.
        """
        return _occasions((e for e in self._restarts if e.charged and _service(e) == service), apart_from)

    def restarts(self, database: str, apart_from: Occasion | None = None) -> tuple[datetime, ...]:
        """When each restart of any service that counts against a database's limits was last charged."""
        charged = (e for e in self._restarts if e.charged and e.intent.database == database)
        return _occasions(charged, apart_from)

    def of_round(self, incident: Incident) -> tuple[Entry, ...]:
        """The entries of an incident's current round."""
        identity, number = incident.id, incident.round
        return tuple(e for e in self.entries if e.intent.incident == identity and e.intent.round == number)

    def restarted_on(self, occasion: Occasion) -> Mapping[str, Entry]:
        """The entries of one restart of a service, by the name of the replica that had its turn."""
        asked = (occasion.service, occasion.incident, occasion.round, occasion.step)
        taken = (e for e in self._restarts if _occasion(e) == asked and not e.dropped)
        return {e.intent.action.replica.name: e for e in taken if isinstance(e.intent.action, RestartReplica)}

    def last_restarts(self, service: str) -> Mapping[str, datetime]:
        """When each replica of a service, by name, was last restarted, as far as that counts."""
        last: dict[str, datetime] = {}
        for entry in self._restarts:
            action = entry.intent.action
            if entry.charged and isinstance(action, RestartReplica) and action.replica.service == service:
                name, at = action.replica.name, entry.intent.counted_at
                last[name] = max(at, last.get(name, at))
        return last

    def simulated_sessions(self, incident: Incident) -> frozenset[SessionId]:
        """Sessions that a dry run would have terminated in this incident."""
        return frozenset(
            e.intent.action.session.id
            for e in self.entries
            if e.intent.incident == incident.id
            and isinstance(e.intent.action, TerminateSession)
            and e.outcome is not None
            and e.outcome.result is Result.SIMULATED
        )


def _service(entry: Entry) -> str:
    action = entry.intent.action
    return action.replica.service if isinstance(action, RestartReplica) else ""


def _occasion(entry: Entry) -> tuple[str, str, int, int]:
    """What tells the occasion of a restart from others: a value that is cheap to make and to compare."""
    intent = entry.intent
    return _service(entry), intent.incident, intent.round, intent.step


def _occasions(entries: Iterable[Entry], apart_from: Occasion | None) -> tuple[datetime, ...]:
    apart = apart_from and (apart_from.service, apart_from.incident, apart_from.round, apart_from.step)
    last: dict[tuple[str, str, int, int], datetime] = {}
    for entry in entries:
        occasion = _occasion(entry)
        if occasion != apart:
            at = entry.intent.counted_at
            last[occasion] = max(at, last.get(occasion, at))
    return tuple(sorted(last.values()))
