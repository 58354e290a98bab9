"""Proposals: every action that was considered, to be done (`Act`) or not (`Hold`), and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from remediator.core.model import Replica, Session
from remediator.core.policy import Step
from remediator.core.trouble import Trouble


class Objection(StrEnum):
    """Why something is not done. Values are stable: they appear in logs, records and output."""

    # sessions: the spare rules
    NOT_CLIENT = "not_client"
    HIDDEN = "hidden"
    SUPERUSER = "superuser"
    OWN_SESSION = "own_session"
    ACTIVE = "active"
    IN_TRANSACTION = "in_transaction"
    ADVISORY_LOCK = "advisory_lock"
    LISTENING = "listening"
    SPARED_USER = "spared_user"
    SPARED_APPLICATION = "spared_application"
    TOO_YOUNG = "too_young"
    SIMULATED = "simulated"
    # limits
    ENOUGH = "enough"
    STEP_LIMIT = "step_limit"
    BLAST_RADIUS = "blast_radius"
    RATE_LIMIT = "rate_limit"
    COOLDOWN = "cooldown"
    # replicas
    NOT_RUNNING = "not_running"
    EXEMPT = "exempt"
    JUST_STARTED = "just_started"
    ALREADY_RESTARTED = "already_restarted"
    SIBLING_DOWN = "sibling_down"
    # steps
    NOT_NEEDED = "not_needed"
    NO_CANDIDATES = "no_candidates"
    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    MAY_NOT_SIGNAL = "may_not_signal"
    LOGINS = "logins"
    SERVICE_LOCKED = "service_locked"
    NOT_UP = "not_up"
    NOT_CULPRIT = "not_culprit"
    NO_CULPRIT = "no_culprit"
    HELD_ELSEWHERE = "held_elsewhere"
    # everything
    UNKNOWN_EVIDENCE = "unknown_evidence"
    UNCONFIRMED = "unconfirmed"
    STANDBY = "standby"
    ANOTHER_ACTS = "another_acts"
    SERVER_CHANGED = "server_changed"
    PAUSED = "paused"
    MAINTENANCE = "maintenance"
    LOCKED = "locked"
    IN_FLIGHT = "in_flight"
    SETTLING = "settling"
    WAITING = "waiting"
    LEDGER_UNAVAILABLE = "ledger_unavailable"

    @property
    def meaning(self) -> str:
        """The objection in words."""
        return _MEANINGS[self]


_MEANINGS = {
    Objection.NOT_CLIENT: "not a client session",
    Objection.HIDDEN: "our role may not see its state",
    Objection.SUPERUSER: "belongs to a superuser",
    Objection.OWN_SESSION: "is remediator's own",
    Objection.ACTIVE: "is not idle",
    Objection.IN_TRANSACTION: "is in a transaction",
    Objection.ADVISORY_LOCK: "holds an advisory lock",
    Objection.LISTENING: "listens for notifications",
    Objection.SPARED_USER: "its user is spared by the policy",
    Objection.SPARED_APPLICATION: "its application is spared by the policy",
    Objection.TOO_YOUNG: "not idle for long enough",
    Objection.SIMULATED: "already counted as gone by the dry run",
    Objection.ENOUGH: "the target is reached without it",
    Objection.STEP_LIMIT: "limit per step reached",
    Objection.BLAST_RADIUS: "too many at once to be right; a person must look",
    Objection.RATE_LIMIT: "limit for this period reached",
    Objection.COOLDOWN: "restarted too recently",
    Objection.NOT_RUNNING: "is not running; left as it is",
    Objection.EXEMPT: "must never be restarted",
    Objection.JUST_STARTED: "was started moments ago",
    Objection.ALREADY_RESTARTED: "had its turn in this round",
    Objection.SIBLING_DOWN: "another replica of its service is not up",
    Objection.NOT_NEEDED: "no longer critical",
    Objection.NO_CANDIDATES: "no session may be terminated",
    Objection.NOT_FOUND: "no container carries these labels",
    Objection.UNREADABLE: "sessions or containers cannot be read",
    Objection.MAY_NOT_SIGNAL: "our role lacks pg_signal_backend",
    Objection.LOGINS: "clients that never finish logging in hold the slots, not sessions",
    Objection.SERVICE_LOCKED: "locked after restarts that failed or did not help, until `remediator ack`",
    Objection.NOT_UP: "a replica restarted before it is not known to be up",
    Objection.NOT_CULPRIT: "another service holds the leaked slots",
    Objection.NO_CULPRIT: "no service is shown to hold the leaked slots",
    Objection.HELD_ELSEWHERE: "none of these services holds the leaked slots; their restart would free none",
    Objection.UNKNOWN_EVIDENCE: "the state of the database is not known",
    Objection.UNCONFIRMED: "critical again, not for long enough yet",
    Objection.STANDBY: "the server is a standby",
    Objection.ANOTHER_ACTS: "another remediator acts on this database",
    Objection.SERVER_CHANGED: "another server answers than before; it is looked at first",
    Objection.PAUSED: "paused by an operator",
    Objection.MAINTENANCE: "in a maintenance window",
    Objection.LOCKED: "locked after failed rounds until `remediator ack`",
    Objection.IN_FLIGHT: "an earlier action is not verified yet",
    Objection.SETTLING: "waiting for the last step to settle",
    Objection.WAITING: "no relief since the last round; waiting before the next",
    Objection.LEDGER_UNAVAILABLE: "the ledger cannot be written",
}


@dataclass(frozen=True, slots=True)
class TerminateSession:
    """An action: terminate one session, provided that nothing about it has changed."""

    session: Session

    @property
    def label(self) -> str:
        """How the action is named to people."""
        who = self.session.application or self.session.user or "unnamed"
        return f"terminate session {self.session.id.pid} ({who})"


@dataclass(frozen=True, slots=True)
class RestartReplica:
    """An action: restart one replica of a service."""

    replica: Replica

    @property
    def label(self) -> str:
        """How the action is named to people."""
        return f"restart {self.replica.name}"


Action = TerminateSession | RestartReplica


@dataclass(frozen=True, slots=True)
class Act:
    """A proposal to be carried out, and the reason."""

    action: Action
    because: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A proposal not to be carried out, with every objection to it.

    Attributes:
        detail: What the objections' words leave out: a figure, a time.
    """

    action: Action
    objections: tuple[Objection, ...]
    detail: str = ""


Proposal = Act | Hold


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step of the ladder with its proposals.

    Attributes:
        index: Position in the policy's steps, from 0.
        objections: What stops the step as a whole; then there may be no proposals.
        detail: What the objections' words leave out.
        conditional: The step is taken only if the database is critical still when its turn comes.
    """

    index: int
    step: Step
    proposals: tuple[Proposal, ...] = ()
    objections: tuple[Objection, ...] = ()
    detail: str = ""
    conditional: bool = False

    @property
    def acts(self) -> tuple[Act, ...]:
        """The proposals to be carried out."""
        return tuple(p for p in self.proposals if isinstance(p, Act))

    @property
    def holds(self) -> tuple[Hold, ...]:
        """The proposals not to be carried out."""
        return tuple(p for p in self.proposals if isinstance(p, Hold))


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done now, step by step.

    Attributes:
        objections: What stops everything.
        detail: What the objections' words leave out.
        details: The same for each objection, where it can be told apart.
        relapsed: Relief did not last: the ladder goes on where it was left.
        renews: The steps are those of a new round: nothing is left on the ladder after a relapse, or what is
            next has to be waited for and there are sessions to terminate meanwhile.
        relieved: Nothing needs to be done (any more) and nothing is left that always has its turn.
        exhausted: All steps had their turn and the database is critical still.
    """

    steps: tuple[StepPlan, ...] = ()
    objections: tuple[Objection, ...] = ()
    detail: str = ""
    details: tuple[str, ...] = ()
    relapsed: bool = False
    renews: bool = False
    relieved: bool = False
    exhausted: bool = False

    @classmethod
    def stopped(cls, objections: tuple[Objection, ...], details: tuple[str, ...], *, relieved: bool) -> Plan:
        """A plan of nothing, with what each objection's words leave out."""
        detail = "; ".join(filter(None, details))
        return cls(objections=objections, detail=detail, details=details, relieved=relieved)

    @property
    def reasons(self) -> tuple[tuple[Objection, str], ...]:
        """What stops everything, each objection with its own detail."""
        details = self.details or ("",) * (len(self.objections) - 1) + (self.detail,)
        return tuple(zip(self.objections, details, strict=False))

    @property
    def because(self) -> str:
        """What stops everything, in words."""
        told = (f"{o.meaning} ({detail})" if detail else o.meaning for o, detail in self.reasons)
        return ", ".join(told)

    @property
    def next_step(self) -> StepPlan | None:
        """The first step with something to do, unless everything is stopped."""
        if self.objections:
            return None
        return next((step for step in self.steps if step.acts), None)

    @property
    def held(self) -> bool:
        """Whether nothing may or can be done although it is needed, and waiting alone will not help."""
        if self.relieved or self.next_step is not None:
            return False
        return self.exhausted or any(objection not in _PASSING for objection in self.objections)

    @property
    def ordered(self) -> bool:
        """Whether it is held by nothing but an order of people."""
        lasting = {objection for objection in self.objections if objection not in _PASSING}
        return bool(lasting) and _ORDERS.issuperset(lasting)


_ORDERS = frozenset({Objection.PAUSED, Objection.MAINTENANCE})

_PASSING = frozenset(
    {
        Objection.IN_FLIGHT,
        Objection.SETTLING,
        Objection.WAITING,
        Objection.UNKNOWN_EVIDENCE,
        Objection.UNCONFIRMED,
        Objection.JUST_STARTED,
        Objection.SERVER_CHANGED,
        Objection.ANOTHER_ACTS,
    }
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a decision needs beyond the sample, read when critical is confirmed.

    Attributes:
        sessions: Every client session, or why they could not be read.
        services: The replicas of every service that a step names, or why they could not be read.
    """

    sessions: tuple[Session, ...] | Trouble
    services: dict[str, tuple[Replica, ...] | Trouble]
