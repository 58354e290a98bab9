"""The effective configuration, written the way the file is written, with secrets masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any

import yaml

from remediator.config.policies import CULPRIT
from remediator.config.secret import MASK, Secret
from remediator.config.settings import (
    ComposeTarget,
    DatabaseSettings,
    NotifySettings,
    ServiceSettings,
    Settings,
    WebSettings,
)
from remediator.config.units import format_duration, format_percent, format_rate, format_size
from remediator.config.web import address_text
from remediator.core.attribution import Claim
from remediator.core.audit.facts import Connections
from remediator.core.maintenance import Recurrence
from remediator.core.model import Level
from remediator.core.owner import Owner, OwnerKind
from remediator.core.policy import (
    IdleCount,
    LevelRule,
    Limits,
    Policy,
    Remediate,
    RestartService,
    Step,
    TerminateIdle,
)
from remediator.core.text import count

_SHORTEST_SECRET = 4
"""Characters; shorter ones would blacken innocent text."""


def show(settings: Settings, *, arguments: bool = True) -> str:
    """Write the settings as YAML that `load` reads again, every key with its effective value.

    A secret from a file shows as that file; any other shows as a mask, which is then the secret.

    Args:
        settings: The settings.
        arguments: Whether to show those of commands, which may hold a secret that only their writer knows to
            be one, or one that came from the environment.
    """
    policies = {database.policy.name: database.policy for database in settings.databases}
    content: dict[str, Any] = {
        "version": 1,
        "mode": settings.mode.value,
        "state_dir": str(settings.state_dir),
        "docker": {"host": settings.docker_host},
        "databases": [_database(database) for database in settings.databases],
        "services": [_service(service, settings, arguments=arguments) for service in settings.services],
        "clients": [
            {"name": claim.owner.name, **_looks(claim), "pooler": claim.owner.kind is OwnerKind.POOLER}
            for claim in settings.claims
            if claim.owner.kind is not OwnerKind.SERVICE
        ],
        "policies": [_policy(policy) for policy in policies.values()],
        "notify": [_target(target) for target in settings.notify],
        "recording": {
            "keep": settings.recording.keep,
            "max_size": format_size(settings.recording.max_size),
        },
        "log": {"level": settings.log.level, "format": settings.log.format},
    }
    if settings.web is not None:
        content["web"] = _web(settings.web)
    if settings.audit is not None:
        content["audit"] = asdict(settings.audit)
    return yaml.safe_dump(_escaped(content), sort_keys=False, allow_unicode=True, width=110)


def _escaped(value: Any) -> Any:
    """Double each dollar sign, which the file would otherwise read as the start of a reference."""
    match value:
        case str():
            return value.replace("$", "$$")
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case list():
            return [_escaped(item) for item in value]
        case timedelta():
            return format_duration(value)
        case _:
            return value


def _web(web: WebSettings) -> dict[str, Any]:
    return {"listen": address_text(web.host, web.port), "allowed_hosts": list(web.allowed_hosts)}


def _database(database: DatabaseSettings) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": database.name, "dsn": database.dsn}
    if database.password_file:
        shown["password_file"] = str(database.password_file)
    elif database.password:
        shown["password"] = MASK
    connect = database.connect
    shown["connect"] = {field.name: getattr(connect, field.name) for field in fields(connect)}
    shown["policy"] = database.policy.name
    return shown


def _looks(claim: Claim) -> dict[str, Any]:
    return {
        "applications": list(claim.applications),
        "users": list(claim.users),
        "addresses": list(claim.addresses),
    }


def _target(target: NotifySettings) -> dict[str, Any]:
    return {
        "name": target.name,
        **({"url_file": str(target.url_file)} if target.url_file else {"url": MASK}),
        "events": [kind.word for kind in target.kinds],
        "databases": list(target.databases),
        "modes": [mode.value for mode in target.modes],
        "remind_every": "none" if target.remind_every is None else target.remind_every,
    }


def _service(service: ServiceSettings, settings: Settings, *, arguments: bool) -> dict[str, Any]:
    def argv(words: tuple[str, ...]) -> list[str]:
        return _arguments(words, settings.secrets) if arguments else _program(words)

    runtime, verification = service.runtime, service.service.verification
    shown: dict[str, Any] = {"name": service.service.name}
    if isinstance(runtime, ComposeTarget):
        shown["compose"] = {"project": runtime.project, "service": runtime.service}
    else:
        shown["command"] = {
            "restart": argv(runtime.restart),
            "inspect": argv(runtime.inspect),
            "deadline": runtime.deadline,
        }
    owner = Owner(OwnerKind.SERVICE, service.service.name)
    for claim in (claim for claim in settings.claims if claim.owner == owner):
        shown["sessions"] = _looks(claim)
    if service.connections is not None:
        shown["connections"] = _connections(service.connections)
    shown["verify"] = {"within": verification.within, "steady_for": verification.steady_for}
    if service.diagnose is not None:
        shown["diagnose"] = {"run": argv(service.diagnose.run), "within": service.diagnose.within}
    return shown


def _connections(connections: Connections) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(connections).items() if value is not None}
    if connections.processes is None:
        del shown["threads"]  # they are those of a process
    return shown


def _program(words: tuple[str, ...]) -> list[str]:
    """The program alone, and how many arguments it has."""
    return [words[0], *([f"({count(len(words) - 1, 'argument')})"] if len(words) > 1 else [])]


def _arguments(arguments: tuple[str, ...], secrets: tuple[Secret, ...]) -> list[str]:
    """A command's arguments; that a password is one of them is unwise, and yet no reason to show it."""
    shown = list(arguments)
    for value in sorted((secret.reveal() for secret in secrets), key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            shown = [argument.replace(value, MASK) for argument in shown]
    return shown


def _policy(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "check_every": {level.label: policy.check_every[level] for level in Level},
        "levels": {level.label: _level(rule) for level, rule in policy.levels.items()},
        "clear": {"margin": format_percent(policy.clear.margin), "for": policy.clear.hold_for},
        "remediate": _remediate(policy.remediate),
        "spare": {"users": list(policy.spare.users), "applications": list(policy.spare.applications)},
        "limits": _limits(policy.limits),
        "maintenance": [_maintenance(recurrence) for recurrence in policy.maintenance],
    }


def _maintenance(recurrence: Recurrence) -> dict[str, Any]:
    return {
        "cron": recurrence.cron,
        "for": recurrence.length,
        "timezone": recurrence.timezone,
        "reason": recurrence.reason,
    }


def _level(rule: LevelRule) -> dict[str, Any]:
    conditions = rule.conditions
    return {
        "utilization": "none" if conditions.utilization is None else format_percent(conditions.utilization),
        "idle": _idle(conditions.idle),
        "refusing_connections": conditions.refusing_connections,
        "exhausted_within": conditions.exhausted_within or "none",
        "churn": format_rate(conditions.churn) if conditions.churn else "none",
        "connect_latency": conditions.connect_latency or "none",
        "never_used": _idle(conditions.never_used),
        "idle_in_transaction": _idle(conditions.idle_in_transaction),
        "for": rule.hold_for,
    }


def _idle(idle: IdleCount | None) -> dict[str, Any] | str:
    return {"older_than": idle.older_than, "count": _cap(idle.count)} if idle else "none"


def _remediate(remediate: Remediate) -> dict[str, Any]:
    return {
        "until": {"utilization": format_percent(remediate.until)},
        "settle": remediate.settle,
        "retry": remediate.retry,
        "steps": [_step(step) for step in _as_written(remediate.steps)],
    }


def _as_written(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, of the rungs that are about one culprit only the first."""
    before = None
    for step in steps:
        suspicion = step.suspicion if isinstance(step, RestartService) else None
        if suspicion is None or suspicion is not before:
            yield step
        before = suspicion


def _step(step: Step) -> dict[str, Any]:
    if isinstance(step, TerminateIdle):
        return {"terminate_idle": {"older_than": step.older_than, "when": step.when.value}}
    if step.suspicion is None:
        return {"restart": {"service": step.service, "when": step.when.value}}
    suspicion = step.suspicion
    return {
        "restart": {
            "service": CULPRIT,
            "when": step.when.value,
            "among": list(suspicion.among),
            "share": format_percent(suspicion.share),
            "older_than": suspicion.older_than,
            "least": format_percent(suspicion.least),
            "otherwise": suspicion.otherwise.value,
        }
    }


def _limits(limits: Limits) -> dict[str, Any]:
    (per_hour, *others), (per_day, *more) = limits.terminate, limits.restart
    backoff = limits.backoff
    return {
        "terminate": {
            "per_step": [_cap(cap) for cap in limits.terminate_per_step],
            "abort_above": [_cap(cap) for cap in limits.terminate_abort_above],
            "per_hour": per_hour.count,
            "rates": [format_rate(rate) for rate in others],
        },
        "restart": {
            "per_service": [format_rate(rate) for rate in limits.restart_per_service],
            "per_step": [_cap(cap) for cap in limits.restart_per_step],
            "backoff": {"base": backoff.base, "cap": backoff.cap} if backoff else "none",
            "per_day": per_day.count,
            "rates": [format_rate(rate) for rate in more],
            "min_uptime": limits.min_uptime,
        },
        "failed_rounds": limits.failed_rounds,
    }


def _cap(cap: float) -> str | int:
    return cap if isinstance(cap, int) else format_percent(cap)
