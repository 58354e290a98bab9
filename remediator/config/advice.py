"""What is valid in a config, and yet hardly meant."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import combinations

from remediator.config.dsn import places
from remediator.config.settings import ComposeTarget, Settings
from remediator.core.owner import OwnerKind
from remediator.core.policy import Policy, RestartService
from remediator.recurrence import never_ends


def advice(settings: Settings) -> tuple[str, ...]:
    """Say what is valid and yet hardly meant."""
    found = [
        f"database {d.name}: connect.probe_every is 0s, so that refused connections go unnoticed"
        for d in settings.databases
        if not d.connect.probe_every
    ]
    found += [
        f"databases {one.name} and {other.name} are on one server, by their dsn: both would act on all of "
        "its sessions, each by a policy and limits of its own; keep one of them"
        for one, other in combinations(settings.databases, 2)
        if places(one.dsn) & places(other.dsn)
    ]
    policies = {d.policy.name: d.policy for d in settings.databases}
    found += [
        f"policy {name}: clear.for is shorter than remediate.settle, so that an incident may close before "
        "its next step is due"
        for name, policy in policies.items()
        if policy.clear.hold_for < policy.remediate.settle
    ]
    found += [
        f"policy {name}: {service} can never be the culprit: commands run it, so that no container tells "
        "its sessions; say under services[].sessions what they look like"
        for name, policy in policies.items()
        for service in _never_told(settings, policy)
    ]
    found += [
        f"policy {name}: its maintenance windows follow each other without an end: nothing is ever done"
        for name, policy in policies.items()
        if never_ends(policy.maintenance)
    ]
    if settings.web and not ip_address(settings.web.host).is_loopback:
        found.append(
            f"web.listen: {settings.web.host} port {settings.web.port} can be reached from other machines; "
            "there is no login, and whoever asks sees users and services"
        )
    return tuple(found)


def _never_told(settings: Settings, policy: Policy) -> Iterator[str]:
    """Services that may be the culprit, and of which no session can be told."""
    by_container = {s.service.name for s in settings.services if isinstance(s.runtime, ComposeTarget)}
    by_pattern = {c.owner.name for c in settings.claims if c.owner.kind is OwnerKind.SERVICE}
    steps = (step for step in policy.remediate.steps if isinstance(step, RestartService) and step.suspicion)
    suspects = dict.fromkeys(step.service for step in steps)
    yield from (name for name in suspects if name not in by_container | by_pattern)
