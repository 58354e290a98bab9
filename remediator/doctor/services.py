"""What the doctor says of the engine, and of services and their containers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from remediator.adapters.clock import SystemClock
from remediator.adapters.compose import ComposeRuntime, DockerEngine, unreached
from remediator.config import ComposeTarget, Settings
from remediator.core.directory import Directory
from remediator.core.guards import spare_replica
from remediator.core.model import Mode, Replica
from remediator.core.text import count
from remediator.core.vicinity import silence
from remediator.doctor.finding import Finding, Grade
from remediator.errors import RemediatorError
from remediator.ports import Runtime
from remediator.world import World

_NOT_LOOKED_AT = "not looked at: Docker cannot be asked"


async def services_findings(
    world: World, directory: Directory | None, settings: Settings, mode: Mode
) -> list[Finding]:
    """Look at the engine and at each service; that the engine cannot be asked is one problem, said once.

    Args:
        world: The engine and what runs the services.
        directory: What the engine tells of containers' addresses, if it is asked for them.
        settings: The settings.
        mode: In a dry run less is needed.
    """
    engine = await _engine(world.engine, settings, mode)
    known = {unreached(finding.text) for finding in engine} - {""}
    services = await asyncio.gather(*(_service(n, r) for n, r in world.runtimes.items()))
    found = [
        replace(one, grade=Grade.WARNING, text=_NOT_LOOKED_AT) if unreached(one.text) in known else one
        for group in services
        for one in group
    ]
    if directory is None or (directory.trouble and unreached(directory.trouble.detail) in known):
        return [*engine, *found]
    return [*engine, *found, _directory(directory)]


def _directory(directory: Directory) -> Finding:
    if untold := silence(directory):
        return Finding(Grade.PROBLEM, "docker", f"{untold}; sessions cannot be told by container")
    number = sum(bool(tenant.addresses) for tenant in directory.tenants)
    return Finding(Grade.OK, "docker", f"{count(number, 'running container')} with addresses")


async def _engine(reader: DockerEngine | None, settings: Settings, mode: Mode) -> list[Finding]:
    if reader is None:
        return []
    subject = "docker"
    # Only one that may write can try whether a restart, of a container that does not exist, gets through.
    writer = DockerEngine(settings.docker_host) if mode is Mode.ENFORCE else None
    try:
        report = await (writer or reader).report()
    except RemediatorError as error:
        return [Finding(Grade.PROBLEM, subject, str(error))]
    finally:
        if writer is not None:
            writer.close()
    found = [Finding(Grade.OK, subject, f"engine {report.version}, API {report.api_version}")]
    if report.may_restart is False:
        text = f"{report.host} refuses restarts: allow POST /containers/<id>/restart in the proxy"
        found.append(Finding(Grade.PROBLEM, subject, text))
    diagnosed = [
        s.service.name for s in settings.services if s.diagnose and isinstance(s.runtime, ComposeTarget)
    ]
    found += [Finding(Grade.WARNING, subject, text) for text in report.unwise(diagnosed)]
    return found


async def _service(name: str, runtime: Runtime) -> list[Finding]:
    subject = f"service {name}"
    try:
        replicas = await runtime.replicas()
        found = [_replica(subject, replica) for replica in replicas]
        if isinstance(runtime, ComposeRuntime):
            found += await _graces(subject, runtime)
    except RemediatorError as error:
        return [Finding(Grade.PROBLEM, subject, str(error))]
    if not replicas:
        return [Finding(Grade.PROBLEM, subject, await _absent(runtime))]
    return found


async def _absent(runtime: Runtime) -> str:
    if not isinstance(runtime, ComposeRuntime):
        return "it has no replica"
    text = f"no container has {runtime.selector}"
    try:
        there = await runtime.alternatives()
    except RemediatorError:
        there = ""
    return f"{text}; {there or '`docker compose ls` and `docker compose ps` show the names'}"


def _replica(subject: str, replica: Replica) -> Finding:
    objections, detail = spare_replica(replica, timedelta(0), SystemClock().now().at)
    if objections:
        return Finding(Grade.WARNING, subject, f"{replica.name} would not be restarted: {detail}")
    return Finding(Grade.OK, subject, f"{replica.name} is {replica.state}, health {replica.health}")


async def _graces(subject: str, runtime: ComposeRuntime) -> list[Finding]:
    found = []
    for grace in await runtime.stop_graces():
        text = grace.text
        if grace.short:
            text += "; work in flight may be lost, set stop_grace_period to its longest task"
        found.append(Finding(Grade.WARNING if grace.short else Grade.OK, subject, text))
    return found
