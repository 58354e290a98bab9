"""From the validated schema to the values that the rest of the program works with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

from remediator.config import levels, targets
from remediator.config import policies as written
from remediator.config.advice import advice
from remediator.config.maintenance import Maintenance
from remediator.config.notify import Notify
from remediator.config.passwords import Password
from remediator.config.schema import Root
from remediator.config.secret import Secret
from remediator.config.settings import (
    AuditSettings,
    CommandTarget,
    ComposeTarget,
    ConnectSettings,
    DatabaseSettings,
    DiagnoseSettings,
    LogSettings,
    NotifySettings,
    RecordingSettings,
    ServiceSettings,
    Settings,
    WebSettings,
)
from remediator.config.web import Web, address_of
from remediator.core.attribution import Claim
from remediator.core.audit.facts import Connections
from remediator.core.maintenance import Recurrence
from remediator.core.model import Level, Mode
from remediator.core.notice import Kind
from remediator.core.owner import Owner, OwnerKind
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
    When,
)
from remediator.core.service import Service, Verification
from remediator.core.suspicion import Otherwise, Suspicion

_DEFAULT_OLDER_THAN = written.TerminateIdle().older_than


def build(
    root: Root,
    source: Path,
    passwords: Mapping[str, Password],
    urls: Mapping[str, Password],
    warnings: tuple[str, ...],
) -> Settings:
    """Make the settings.

    Args:
        root: What was validated and checked.
        source: The file it came from.
        passwords: What was read from files, by the database's name.
        urls: The same of whom to notify, by the target's name.
        warnings: What should be looked at.
    """
    services = tuple(_service(service) for service in root.services)
    policies = {policy.name: _policy(policy, services, root.maintenance) for policy in root.policies}
    settings = Settings(
        mode=Mode(root.mode),
        state_dir=source.parent.absolute() / root.state_dir,
        docker_host=root.docker.host,
        databases=tuple(
            _database(database, policies[database.policy], passwords.get(database.name))
            for database in root.databases
        ),
        services=services,
        notify=tuple(_target(target, urls.get(target.name)) for target in root.notify),
        log=LogSettings(root.log.level, root.log.format),
        source=source,
        web=_web(root.web) if root.web else None,
        recording=RecordingSettings(root.recording.keep, root.recording.max_size),
        claims=(*_service_claims(root), *_client_claims(root)),
        audit=AuditSettings(root.audit.cron, root.audit.timezone, root.audit.keep) if root.audit else None,
    )
    return replace(settings, warnings=(*warnings, *advice(settings)))


def _service_claims(root: Root) -> Iterator[Claim]:
    for service in root.services:
        if service.sessions is not None:
            yield _claim(Owner(OwnerKind.SERVICE, service.name), service.sessions)


def _client_claims(root: Root) -> Iterator[Claim]:
    for client in root.clients:
        kind = OwnerKind.POOLER if client.pooler else OwnerKind.CLIENT
        yield _claim(Owner(kind, client.name), client)


def _claim(owner: Owner, sessions: targets.Sessions) -> Claim:
    return Claim(owner, sessions.users, sessions.applications, sessions.addresses)


def _database(database: targets.Database, policy: Policy, read: Password | None) -> DatabaseSettings:
    connect = {field.name: getattr(database.connect, field.name) for field in fields(ConnectSettings)}
    given = Secret(database.password) if database.password else None
    return DatabaseSettings(
        name=database.name,
        dsn=database.dsn or "",
        password=read.secret if read else given,
        password_file=read.file if read else None,
        connect=ConnectSettings(**connect),
        policy=policy if database.connect.probe_every else _without_probe(policy),
    )


def _web(web: Web) -> WebSettings:
    host, port = address_of(web.listen)
    return WebSettings(host, port, tuple(name.lower() for name in web.allowed_hosts))


def _target(target: Notify, read: Password | None) -> NotifySettings:
    return NotifySettings(
        name=target.name,
        url=read.secret if read else Secret(target.url or ""),
        url_file=read.file if read else None,
        kinds=tuple(kind for kind in Kind if kind.word in target.events),
        databases=tuple(dict.fromkeys(target.databases)),
        modes=tuple(mode for mode in Mode if mode.value in target.modes),
        remind_every=target.remind_every,
    )


def _without_probe(policy: Policy) -> Policy:
    """Leave out the conditions that need a probe: without one their evidence would be unknown for ever."""
    levels = {
        level: replace(
            rule, conditions=replace(rule.conditions, refusing_connections=False, connect_latency=None)
        )
        for level, rule in policy.levels.items()
    }
    return replace(policy, levels=levels)


def _service(service: targets.Service) -> ServiceSettings:
    runtime: ComposeTarget | CommandTarget
    if service.compose:
        runtime = ComposeTarget(service.compose.project, service.compose.service)
    elif service.command:
        command = service.command
        runtime = CommandTarget(command.restart, command.inspect, command.deadline)
    else:
        raise AssertionError("a service without a runtime is refused before")
    verification = Verification(service.verify.within, service.verify.steady_for)
    connections = _connections(service.connections) if service.connections else None
    diagnose = DiagnoseSettings(service.diagnose.run, service.diagnose.within) if service.diagnose else None
    return ServiceSettings(Service(service.name, verification), runtime, connections, diagnose)


def _connections(written: targets.Connections) -> Connections:
    given = written.model_dump(exclude_none=True)
    return Connections(**given)


def _policy(
    policy: written.Policy, services: tuple[ServiceSettings, ...], everywhere: tuple[Maintenance, ...]
) -> Policy:
    every = policy.check_every
    return Policy(
        name=policy.name,
        check_every={
            Level.NORMAL: every.normal,
            Level.MONITOR: every.monitor,
            Level.ALERT: every.alert,
            Level.CRITICAL: every.critical,
        },
        levels={
            Level.MONITOR: _level(policy.levels.monitor),
            Level.ALERT: _level(policy.levels.alert),
            Level.CRITICAL: _level(policy.levels.critical),
        },
        clear=ClearRule(policy.clear.margin, policy.clear.for_),
        remediate=_remediate(policy.remediate, services),
        spare=Spare(
            users=tuple(dict.fromkeys(policy.spare.users)),
            applications=tuple(dict.fromkeys((*written.SPARED_APPLICATIONS, *policy.spare.applications))),
        ),
        limits=_limits(policy.limits),
        maintenance=tuple(_recurrence(one) for one in (*everywhere, *policy.maintenance)),
    )


def _recurrence(maintenance: Maintenance) -> Recurrence:
    return Recurrence(maintenance.cron, maintenance.for_, maintenance.timezone, maintenance.reason)


def _level(level: levels.Monitor | levels.Alert | levels.Critical) -> LevelRule:
    conditions = Conditions(
        utilization=level.utilization,
        idle=_idle(level.idle),
        refusing_connections=level.refusing_connections,
        exhausted_within=level.exhausted_within,
        churn=level.churn,
        connect_latency=level.connect_latency,
        never_used=_idle(level.never_used),
        idle_in_transaction=_idle(level.idle_in_transaction),
    )
    return LevelRule(conditions, level.for_)


def _idle(idle: levels.Idle | None) -> IdleCount | None:
    return IdleCount(idle.older_than, idle.count) if idle else None


def _remediate(remediate: written.Remediate, services: tuple[ServiceSettings, ...]) -> Remediate:
    steps: tuple[Step, ...]
    if remediate.steps is None:
        restarts = (RestartService(service.service.name) for service in services)
        steps = (TerminateIdle(_DEFAULT_OLDER_THAN), *restarts)
    else:
        names = tuple(service.service.name for service in services)
        steps = tuple(rung for step in remediate.steps for rung in _rungs(step, names))
    known = {s.service.name: s.runtime.text for s in services if isinstance(s.runtime, ComposeTarget)}
    steps = tuple(
        replace(step, known_by=known.get(step.service, "")) if isinstance(step, RestartService) else step
        for step in steps
    )
    return Remediate(remediate.until.utilization, remediate.settle, remediate.retry, steps)


def _rungs(step: written.Step, services: tuple[str, ...]) -> tuple[Step, ...]:
    """A step as rungs of the ladder: the culprit's is one for each service that may be it."""
    if step.terminate_idle:
        return (TerminateIdle(step.terminate_idle.older_than, When(step.terminate_idle.when)),)
    if not step.restart:
        raise AssertionError("an empty step is refused before")
    restart, when = step.restart, When(step.restart.when)
    if restart.service != written.CULPRIT:
        return (RestartService(restart.service, when),)
    among = tuple(dict.fromkeys(restart.among)) or services
    otherwise = Otherwise(restart.otherwise)
    suspicion = Suspicion(among, restart.share, restart.older_than, restart.least, otherwise)
    return tuple(RestartService(service, when, suspicion) for service in among)


def _limits(limits: written.Limits) -> Limits:
    terminate, restart = limits.terminate, limits.restart
    backoff = restart.backoff
    return Limits(
        terminate_per_step=terminate.per_step,
        terminate=(Rate(terminate.per_hour, timedelta(hours=1)), *terminate.rates),
        terminate_abort_above=terminate.abort_above,
        restart_per_service=restart.per_service,
        restart_per_step=restart.per_step,
        restart=(Rate(restart.per_day, timedelta(days=1)), *restart.rates),
        failed_rounds=limits.failed_rounds,
        min_uptime=limits.restart.min_uptime,
        backoff=Backoff(backoff.base, backoff.cap) if backoff else None,
    )
