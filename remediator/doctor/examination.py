"""Looking at everything that the settings name, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger
from remediator.adapters.notify import OUTBOX, service_of, waiting
from remediator.adapters.postgres import PostgresDatabase, Privileges
from remediator.config import Settings
from remediator.core.clock import stamped
from remediator.core.directory import Directory
from remediator.core.ledger import Ledger
from remediator.core.model import Mode
from remediator.core.policy import Policy, RestartService
from remediator.core.server import KEEP_A_SLOT, NO_SLOT_KEPT, RESERVED_SINCE, Server
from remediator.core.text import count, duration
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.vicinity import believable, silence
from remediator.doctor.finding import Finding, Grade
from remediator.doctor.services import services_findings
from remediator.errors import LedgerError, UnavailableError
from remediator.recurrence import next_start, window_at
from remediator.world import make_world

OLDEST, NEWEST = 13, 18
# The minor releases that stopped pg_signal_backend from reaching background workers (CVE-2023-5870).
_SAFE_MINORS = {13: 13, 14: 10, 15: 5, 16: 1}
_MAX_SKEW = timedelta(seconds=5)


async def examine(settings: Settings, mode: Mode) -> list[Finding]:
    """Check everything that the settings name; nothing is changed.

    Args:
        settings: The settings.
        mode: In a dry run less is needed: what only enforcing needs is a warning then.
    """
    world = make_world(settings, Mode.DRY_RUN)
    lacking = Grade.PROBLEM if mode is Mode.ENFORCE else Grade.WARNING
    try:
        directory = await world.directory.read() if world.directory is not None else None
        databases = await asyncio.gather(
            *(
                _database(world.databases[d.name], lacking, directory, _needs_containers(settings, d.policy))
                for d in settings.databases
            )
        )
        found = [Finding(Grade.WARNING, "config", warning) for warning in settings.warnings]
        for group in (*databases, await services_findings(world, directory, settings, mode)):
            found += group
        found += _maintenance(settings)
        found += _notify(settings, mode)
        return [*found, await _state_dir(settings, mode)]
    finally:
        await world.close()


def _needs_containers(settings: Settings, policy: Policy) -> bool:
    """Tell whether a culprit is to be found, and nothing but containers' addresses can tell it."""
    steps = (step for step in policy.remediate.steps if isinstance(step, RestartService))
    return not settings.claims and any(step.suspicion for step in steps)


async def _database(
    database: PostgresDatabase, lacking: Grade, directory: Directory | None, needed: bool
) -> list[Finding]:
    subject = f"database {database.name}"
    clock = SystemClock()
    sample = await database.sample(clock.now())
    trouble = sample.trouble
    if sample.server is None:
        return [Finding(Grade.PROBLEM, subject, _unreachable(trouble))]
    try:
        privileges = await database.privileges()
        skew = await database.clock_skew(clock.now().at)
    except UnavailableError as error:
        return [Finding(Grade.PROBLEM, subject, str(error))]
    found = list(_privileges(subject, privileges, lacking, sample.server.version))
    found += _version(subject, sample.server.version, privileges.server_version)
    if sample.server.in_recovery:
        found.append(Finding(lacking, subject, "it is a standby: nothing is done on a standby"))
    if abs(skew) > _MAX_SKEW:
        text = f"its clock differs from ours by {duration(abs(skew))}; set both by NTP"
        found.append(Finding(Grade.WARNING, subject, text))
    if sample.slots is not None:
        text = f"{sample.slots.used} of {sample.slots.usable} usable slots used"
        found.append(Finding(Grade.OK, subject, text))
    if directory is not None and not silence(directory):
        found.append(_vicinity(subject, directory, sample.server, needed))
    return found


def _vicinity(subject: str, directory: Directory, server: Server, needed: bool) -> Finding:
    _, untold = believable(directory, server)
    if not untold:
        return Finding(Grade.OK, subject, "its sessions are told by container")
    text = f"{untold}: only services[].sessions and clients of the config tell whose sessions are whose"
    return Finding(Grade.WARNING if needed else Grade.OK, subject, text)


def _unreachable(trouble: Trouble | None) -> str:
    if trouble is None:
        return "no answer"
    if trouble.kind is TroubleKind.FULL:
        return f"no slot for us: {trouble.detail}; {KEEP_A_SLOT}"
    return trouble.detail


def _privileges(subject: str, has: Privileges, lacking: Grade, version: int) -> Iterator[Finding]:
    if has.superuser:
        text = f"role {has.user} is a superuser; use one with pg_read_all_stats and pg_signal_backend only"
        yield Finding(Grade.WARNING, subject, text)
        return
    if has.read_all_stats:
        yield Finding(Grade.OK, subject, f"role {has.user} sees all sessions (pg_read_all_stats)")
    else:
        grant = f"GRANT pg_read_all_stats TO {has.user}"
        yield Finding(Grade.PROBLEM, subject, f"sessions of other roles are hidden; run: {grant}")
    if has.signal_backend:
        yield Finding(Grade.OK, subject, f"role {has.user} may terminate sessions (pg_signal_backend)")
    else:
        grant = f"GRANT pg_signal_backend TO {has.user}"
        yield Finding(lacking, subject, f"no session can be terminated; run: {grant}")
    if has.reserved_slot:
        yield Finding(Grade.OK, subject, "a slot is kept for us when the server is full")
    else:
        text = "no slot is kept for us: after a restart of ours a full server would not let us in."
        grant = f"Set reserved_connections and GRANT pg_use_reserved_connections TO {has.user}"
        fix = grant if version >= RESERVED_SINCE else NO_SLOT_KEPT
        yield Finding(Grade.WARNING, subject, f"{text} {fix}")
    if 0 <= has.connection_limit < 2:  # noqa: PLR2004  one session and one probe
        text = f"role {has.user} has CONNECTION LIMIT {has.connection_limit}; we need two, for the probe"
        yield Finding(Grade.PROBLEM, subject, text)


def _version(subject: str, number: int, version: str) -> Iterator[Finding]:
    major, minor = divmod(number, 10000)
    if not OLDEST <= major <= NEWEST:
        text = f"PostgreSQL {version} is not one of those supported, {OLDEST} to {NEWEST}"
        yield Finding(Grade.WARNING, subject, text)
    elif minor < _SAFE_MINORS.get(major, 0):
        text = f"PostgreSQL {version} lets pg_signal_backend reach background workers (CVE-2023-5870); update"
        yield Finding(Grade.WARNING, subject, text)
    else:
        yield Finding(Grade.OK, subject, f"PostgreSQL {version}")


def _maintenance(settings: Settings) -> Iterator[Finding]:
    now = SystemClock().now().at
    for recurrence in dict.fromkeys(one for d in settings.databases for one in d.policy.maintenance):
        subject = f"maintenance {recurrence.cron} {recurrence.timezone}"
        window = window_at([recurrence], now)
        if window is not None:
            yield Finding(Grade.WARNING, subject, f"in force {window.text}; nothing is done")
        else:
            begin = f"{next_start(recurrence, now):%a %Y-%m-%d %H:%M} UTC"
            yield Finding(Grade.OK, subject, f"next at {begin}, for {duration(recurrence.length)}")


def _notify(settings: Settings, mode: Mode) -> Iterator[Finding]:
    for target in settings.notify:
        subject = f"notify {target.name}"
        if mode in target.modes:
            service = service_of(target.url.reveal())
            text = f"understood ({service}); `remediator notify test {target.name}` tries it"
            yield Finding(Grade.OK, subject, text)
        else:
            yield Finding(Grade.WARNING, subject, f"is told nothing in {mode}; add it to its modes")
    if settings.notify:
        subject = f"outbox {settings.state_dir / OUTBOX}"
        try:
            text = f"usable, {count(waiting(settings.state_dir), 'message')} waiting"
            yield Finding(Grade.OK, subject, text)
        except OSError as error:
            text = f"{error}; what waits to be sent would not survive a crash"
            yield Finding(Grade.WARNING, subject, text)


async def _state_dir(settings: Settings, mode: Mode) -> Finding:
    subject = f"state_dir {settings.state_dir}"
    try:
        ledger, now = await _ledger(settings, mode)
    except LedgerError as error:
        return Finding(Grade.PROBLEM, subject, str(error))
    paused = ledger.pause is not None and ledger.pause.holds_at(now)
    locked = ", ".join(lock.scope for lock in ledger.locks)
    in_force = [f"locked until `remediator ack`: {locked}"] if locked else []
    in_force += ["paused"] if paused else []
    if in_force:
        return Finding(Grade.WARNING, subject, f"{'; '.join(in_force)}; see `remediator history`")
    return Finding(
        Grade.OK, subject, f"usable, {count(len(ledger.entries), 'recent entry', 'recent entries')}"
    )


async def _ledger(settings: Settings, mode: Mode) -> tuple[Ledger, datetime]:
    """The ledger's last day, and the time on its clock."""
    store = SqliteLedger.open(settings.state_dir, mode)
    try:
        now = stamped(SystemClock().now(), await store.clock()).steady
        return await store.load(now - timedelta(days=1)), now
    finally:
        await store.close()
