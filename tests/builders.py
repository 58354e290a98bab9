"""Values for tests: everything has a sane default, a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from remediator.core.ledger import Entry, Incident, Intent, Outcome, Phase, Result
from remediator.core.model import (
    CLIENT_BACKEND,
    IDLE,
    Exempt,
    Health,
    Level,
    Moment,
    Probe,
    ProbeResult,
    Replica,
    ReplicaState,
    Sample,
    Session,
    SessionGroup,
    SessionId,
    Slots,
)
from remediator.core.plan import Action, TerminateSession
from remediator.core.policy import (
    Backoff,
    ClearRule,
    Conditions,
    IdleCount,
    LevelRule,
    Limits,
    Policy,
    Rate,
    Remediate,
    RestartService,
    Spare,
    Step,
    TerminateIdle,
)
from remediator.core.server import Server
from remediator.core.trouble import Trouble, TroubleKind

START = datetime(2030, 1, 1, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
DATABASE = "shop"
REFUSED = Probe(ProbeResult.REFUSING, "53300", "sorry, too many clients already")
ACCEPTED = Probe(ProbeResult.ACCEPTED)
UNREACHABLE = Trouble(TroubleKind.UNREACHABLE, "no route to host")
HOURLY = Rate(500, timedelta(hours=1))
EVERY_HALF_HOUR = Rate(1, timedelta(minutes=30))
DAILY = Rate(3, timedelta(days=1))
STEPS: tuple[Step, ...] = (TerminateIdle(TEN_MINUTES), RestartService("celery"), RestartService("api"))


def moment(seconds: float = 0.0, *, jumped: float = 0.0) -> Moment:
    """A moment this long after the tests' beginning.

    Args:
        seconds: How long, on both clocks.
        jumped: How far the wall clock has been set forward since, negative for back.
    """
    return Moment(START + timedelta(seconds=seconds + jumped), 1000.0 + seconds)


def make_session(
    *,
    pid: int = 4711,
    user: str | None = "shop",
    database: str | None = "shop",
    application: str = "celery",
    address: str | None = "172.18.0.5",
    backend_type: str | None = CLIENT_BACKEND,
    state: str | None = IDLE,
    idle_for: float = 1200.0,
    state_change: datetime | None = START - timedelta(hours=1),
    in_transaction: bool = False,
    superuser: bool = False,
    own: bool = False,
    advisory_lock: bool = False,
    listening: bool = False,
    hidden: bool = False,
) -> Session:
    """A session that nothing spares."""
    return Session(
        id=SessionId(pid, START - timedelta(hours=2)),
        user=user,
        database=database,
        application=application,
        address=address,
        backend_type=backend_type,
        state=state,
        state_change=state_change,
        idle_for=idle_for,
        in_transaction=in_transaction,
        superuser=superuser,
        own=own,
        advisory_lock=advisory_lock,
        listening=listening,
        hidden=hidden,
    )


def make_group(
    *,
    count: int,
    user: str = "shop",
    application: str = "celery",
    address: str | None = "172.18.0.5",
    state: str = IDLE,
    idle_for_at_least: float = 600.0,
) -> SessionGroup:
    """A group of sessions like those of `make_session`."""
    return SessionGroup(user, application, address, state, idle_for_at_least, count)


def make_server(*, in_recovery: bool = False, can_signal: bool = True) -> Server:
    """A primary on which our role may terminate sessions."""
    return Server(160004, START - timedelta(days=1), in_recovery, "172.18.0.2", can_signal)


def make_sample(
    *,
    used: int | None = 96,
    usable: int = 100,
    groups: Sequence[SessionGroup] = (),
    probe: Probe | None = ACCEPTED,
    server: Server | None = None,
    at: Moment | None = None,
) -> Sample:
    """A sample, by default one that is critical.

    Args:
        used: Used slots; None for slots that could not be read.
        usable: Usable slots.
        groups: Sessions as the server counted them.
        probe: The connect probe.
        server: The server; an ordinary one where slots could be read.
        at: When it was taken, at the beginning unless told.
    """
    if used is None:
        return Sample(at or moment(), probe=probe, trouble=UNREACHABLE, server=server)
    slots = Slots(usable + 3, superuser_reserved=3, reserved=0, used=used)
    return Sample(at or moment(), slots, tuple(groups), probe, None, server or make_server())


def make_policy(
    *,
    levels: Mapping[Level, LevelRule] | None = None,
    clear: ClearRule | None = None,
    steps: Sequence[Step] = STEPS,
    until: float = 0.5,
    settle: timedelta = timedelta(seconds=15),
    retry: timedelta = timedelta(minutes=5),
    spare: Spare | None = None,
    per_step: float | Sequence[float] = 0.5,
    terminate: Rate | Sequence[Rate] = HOURLY,
    restart_per_service: Rate | Sequence[Rate] = EVERY_HALF_HOUR,
    backoff: Backoff | None = None,
    abort_above: Sequence[float] = (0.8, 2000),
    restart_per_step: Sequence[float] = (0.75, 10),
    restart: Rate | Sequence[Rate] = DAILY,
    failed_rounds: int = 3,
    min_uptime: timedelta = timedelta(minutes=1),
) -> Policy:
    """The policy that one gets by configuring little, with the two services of the tests."""
    if levels is None:
        levels = {
            Level.MONITOR: LevelRule(Conditions(0.2, IdleCount(TEN_MINUTES, 1))),
            Level.ALERT: LevelRule(Conditions(0.5, IdleCount(TEN_MINUTES, 10)), timedelta(seconds=30)),
            Level.CRITICAL: LevelRule(Conditions(0.9, refusing_connections=True), timedelta(seconds=5)),
        }
    return Policy(
        name="web",
        check_every={level: timedelta(seconds=5) for level in Level},
        levels=levels,
        clear=clear or ClearRule(0.05, timedelta(minutes=5)),
        remediate=Remediate(until, settle, retry, tuple(steps)),
        spare=spare or Spare(),
        limits=Limits(
            terminate_per_step=(per_step,) if isinstance(per_step, int | float) else tuple(per_step),
            terminate=_rates(terminate),
            restart_per_service=_rates(restart_per_service),
            restart=_rates(restart),
            failed_rounds=failed_rounds,
            min_uptime=min_uptime,
            backoff=backoff,
            terminate_abort_above=tuple(abort_above),
            restart_per_step=tuple(restart_per_step),
        ),
    )


def _rates(given: Rate | Sequence[Rate]) -> tuple[Rate, ...]:
    return (given,) if isinstance(given, Rate) else tuple(given)


def make_replica(
    *,
    service: str = "celery",
    number: int = 1,
    id: str | None = None,  # noqa: A002  the attribute's name
    state: ReplicaState = ReplicaState.RUNNING,
    started: str = "2029-12-31T00:00:00Z",
    restarts: int = 0,
    health: Health = Health.NONE,
    stop_timeout: timedelta = timedelta(seconds=10),
    exempt: Exempt | None = None,
    started_at: datetime | None = None,
) -> Replica:
    """A replica that runs and may be restarted."""
    name = f"shop-{service}-{number}"
    return Replica(
        service=service,
        id=id or f"id of {name}",
        name=name,
        state=state,
        started=started,
        restarts=restarts,
        health=health,
        stop_timeout=stop_timeout,
        exempt=exempt,
        started_at=started_at,
    )


def make_incident(
    *,
    id: str = "i1",  # noqa: A002  the attribute's name
    database: str = DATABASE,
    opened_at: datetime = START,
    phase: Phase = Phase.WORKING,
    round: int = 1,  # noqa: A002  the attribute's name
    step: int = 0,
    not_before: datetime | None = None,
    failed_rounds: int = 0,
    relieved_at: datetime | None = None,
    closed_at: datetime | None = None,
    ladder: str = "",
) -> Incident:
    """An incident that has just been opened."""
    return Incident(
        id=id,
        database=database,
        opened_at=opened_at,
        because="96 of 100 usable slots used",
        phase=phase,
        round=round,
        step=step,
        not_before=not_before,
        failed_rounds=failed_rounds,
        used=96,
        usable=100,
        relieved_at=relieved_at,
        closed_at=closed_at,
        ladder=ladder,
    )


def make_entry(
    *,
    id: int = 1,  # noqa: A002  the attribute's name
    action: Action | None = None,
    incident: str = "i1",
    database: str = DATABASE,
    round: int = 1,  # noqa: A002  the attribute's name
    step: int = 0,
    at: datetime = START,
    steady: datetime | None = None,
    result: Result | None = None,
    concluded_at: datetime | None = None,
) -> Entry:
    """An entry, open unless a result is given."""
    intent = Intent(
        incident=incident,
        database=database,
        round=round,
        step=step,
        action=action or TerminateSession(make_session()),
        because="oldest first",
        at=at,
        steady=steady,
    )
    return Entry(id, intent, Outcome(result, concluded_at or at) if result is not None else None)
