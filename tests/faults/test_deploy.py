"""A deploy goes on while a plan is made again and again."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from remediator.adapters.compose import ComposeRuntime, DockerEngine
from remediator.core.decide import Situation, decide
from remediator.core.ledger import Ledger
from remediator.core.model import Moment
from remediator.core.plan import Objection, Plan, RestartReplica, StepPlan, Survey
from remediator.core.policy import RestartService
from remediator.errors import RejectedError
from remediator.ports import Receipt
from tests.builders import make_incident, make_policy, make_sample
from tests.conftest import MakeProject
from tests.faults.conftest import Figure
from tests.testbed import engine as testbed
from tests.testbed.engine import BUSYBOX_IMAGE, ComposeProject

UPTIME = timedelta(seconds=5)
REPLICAS = 3
SLOW = f"""
services:
  web:
    image: {BUSYBOX_IMAGE}
    command: ["sh", "-c", "trap 'sleep 3; exit 0' TERM; while :; do sleep 0.1; done"]
    stop_grace_period: 20s
    scale: {REPLICAS}
"""


@pytest.fixture
def engine(docker_engine: testbed.DockerEngine) -> Iterator[DockerEngine]:
    """The engine as remediator sees it."""
    found = DockerEngine(docker_engine.url)
    yield found
    found.close()


async def plan_now(runtime: ComposeRuntime) -> Plan:
    """What would be restarted now if the database were critical."""
    replicas = await runtime.replicas()
    at = datetime.now(UTC)
    situation = Situation(
        database="shop",
        policy=make_policy(steps=(RestartService("web"),), min_uptime=UPTIME),
        sample=replace(make_sample(), moment=Moment(at, 0.0)),
        incident=make_incident(opened_at=at),
        ledger=Ledger(),
        survey=Survey((), {"web": replicas}),
    )
    return decide(situation)


async def settled(runtime: ComposeRuntime) -> None:
    """Wait until every replica may be restarted."""
    async with asyncio.timeout(60):
        while len((await plan_now(runtime)).steps[0].acts) < REPLICAS:  # noqa: ASYNC110  nobody tells us
            await asyncio.sleep(0.2)


def restarts(project: ComposeProject, since: datetime) -> list[str]:
    """The restarts that the engine was asked for, by its own account."""
    events = project.engine.client.events(
        since=since,
        until=datetime.now(UTC) + timedelta(seconds=2),  # it goes by whole seconds
        filters={"event": "restart", "label": f"{testbed.PROJECT_LABEL}={project.name}"},
        decode=True,
    )
    return [str(event["id"]) for event in events]


async def assert_refused(runtime: ComposeRuntime, step: StepPlan) -> None:
    """Ask for the restart of whatever is being replaced all the same."""
    for hold in step.holds:
        if Objection.EXEMPT in hold.objections and isinstance(hold.action, RestartReplica):
            with suppress(RejectedError):
                assert await runtime.restart(hold.action.replica) is Receipt.CHANGED


async def test_nothing_that_a_deploy_replaces_or_has_just_started_is_restarted(
    compose_project: MakeProject, engine: DockerEngine, figure: Figure
) -> None:
    """What a deploy is at is left to it, from the first container it makes until all have been up a while.

    Given a critical database, three replicas that may be restarted, and `docker compose up --force-recreate`;
    when a plan is made over and over from the moment the deploy shows, and what it exempts is asked for
    besides; then nothing is planned, and the engine restarts nothing, until the new replicas have been up for
    `min_uptime`; after that restarts are possible again.
    """
    project = compose_project(SLOW)
    runtime = ComposeRuntime("web", project=project.name, compose_service="web", engine=engine)
    await settled(runtime)
    before = {str(container.id) for container in project.containers("web")}
    begun = datetime.now(UTC)
    deploy = threading.Thread(target=project.up, args=("--force-recreate",))
    deploy.start()
    held: Counter[Objection] = Counter()
    looks, showing = 0, False
    async with asyncio.timeout(120):
        while True:
            plan = await plan_now(runtime)
            acts, holds = plan.steps[0].acts, plan.steps[0].holds
            showing = showing or any(Objection.EXEMPT in hold.objections for hold in holds)
            if showing and acts:
                break
            looks += showing
            await assert_refused(runtime, plan.steps[0])
            held.update(reason for hold in holds for reason in hold.objections)
            await asyncio.sleep(0.02)
    may = datetime.now(UTC)
    deploy.join()
    replicas = await runtime.replicas()
    assert {replica.id for replica in replicas}.isdisjoint(before)
    assert len(replicas) == REPLICAS
    first = min(replica.started_at for replica in replicas if replica.started_at is not None)
    assert may - first >= UPTIME
    assert restarts(project, begun) == []
    assert {Objection.EXEMPT, Objection.JUST_STARTED} <= set(held)
    [chosen] = [act.action for act in acts if isinstance(act.action, RestartReplica)][:1]
    assert await runtime.restart(chosen.replica) is Receipt.SENT
    assert restarts(project, begun) == [chosen.replica.id]
    figure("looks while the deploy went on", str(looks))
    figure("restarts of what it was at", "0")
