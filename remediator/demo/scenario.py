"""What the demo is about, in figures: who leaks how fast, and the policy, its minutes made seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from remediator.core.model import Level, Mode
from remediator.demo.supervisor import ServiceSpec
from remediator.demo.worker import NO_LEAK, Leak

USABLE = 60
THRESHOLDS = {Level.MONITOR: 0.2, Level.ALERT: 0.5, Level.CRITICAL: 0.9}
UNTIL = 0.5
DATABASE = "shop"
DAEMON_APPLICATION = "remediator"
ONLOOKER_APPLICATION = "this demo"
API, CELERY = "api", "celery_worker"
LEAKING = (CELERY, API)
WITHIN = 90.0
"""Seconds after which the demo gives up."""

_ENDLESS = 10_000
_API_LEAK = Leak(limit=12, rate=1.5, rate_once_refused=1.5)
_CELERY_LEAK = Leak(limit=_ENDLESS, rate=2.5, rate_once_refused=15.0)
_STORM = Leak(limit=_ENDLESS, rate=15.0, rate_once_refused=15.0)

_CONFIG = """\
# The demo's configuration. Against a real one: seconds instead of minutes, and nothing else made easier.
version: 1
mode: {mode}
state_dir: state

databases:
  - name: {database}
    dsn: {dsn}
    connect: {{timeout: 3s, query_timeout: 3s, probe_every: 1s, application_name: {application}}}
    policy: demo

services:
{services}

policies:
  - name: demo
    check_every: {{normal: 500ms, monitor: 500ms, alert: 400ms, critical: 250ms}}
    levels:
      monitor: {{utilization: 20%, idle: none}}
      alert: {{utilization: 50%, idle: none, for: 500ms}}
      critical: {{utilization: 90%, refusing_connections: true, for: 3s}}
    clear: {{margin: 5%, for: 6s}}          # longer than a step with its verification takes
    remediate:
      until: {{utilization: 50%}}
      settle: 3s
      retry: 30s
      steps:
        - terminate_idle: {{older_than: 4s}}
        - restart: {{service: {celery}}}
        - restart: {{service: {api}}}
    limits:
      terminate: {{per_step: 50%, per_hour: 500}}
      restart: {{per_service: 1 per 30m, per_day: 3}}

log: {{level: info, format: json}}
"""

_SERVICE = """\
  - name: {name}
    command: {{restart: {restart}, inspect: {inspect}, deadline: 10s}}
    verify: {{within: 10s, steady_for: 1s}}"""


def config_text(mode: Mode, dsn: str, python: str, supervisor: Path) -> str:
    """The daemon's config file.

    Args:
        mode: Whether the daemon acts.
        dsn: The database for the daemon's own, least-privileged role.
        python: The Python interpreter that runs the services' commands.
        supervisor: The supervisor's socket.
    """
    services = "\n".join(
        _SERVICE.format(
            name=name,
            restart=_list([python, "-m", "remediator.demo.service", "restart", name, str(supervisor)]),
            inspect=_list([python, "-m", "remediator.demo.service", "inspect", name, str(supervisor)]),
        )
        for name in (CELERY, API)
    )
    return _CONFIG.format(
        mode=mode.value,
        database=DATABASE,
        dsn=_scalar(dsn),
        application=DAEMON_APPLICATION,
        services=services,
        celery=CELERY,
        api=API,
    )


def _scalar(text: str) -> str:
    """Quote a string for YAML, which JSON's strings are valid in; a dollar sign is itself."""
    return json.dumps(text.replace("$", "$$"))


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(_scalar(word) for word in words)}]"


def services(dsn: str, *, cured: bool) -> tuple[ServiceSpec, ...]:
    """The services that leak.

    Args:
        dsn: The database for the applications' role.
        cured: A restart ends celery_worker's leak, as it usually does.
    """

    def argv(name: str, leak: Leak) -> tuple[str, ...]:
        return ("-m", "remediator.demo.worker", name, dsn, *leak.arguments())

    later = NO_LEAK if cured else _STORM
    return (
        ServiceSpec(API, argv(API, _API_LEAK), argv(API, NO_LEAK)),
        ServiceSpec(CELERY, argv(CELERY, _CELERY_LEAK), argv(CELERY, later)),
    )
