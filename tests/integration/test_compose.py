"""Which containers of a real engine are seen as replicas, and which of them are left alone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from remediator.adapters.compose import ComposeRuntime, DockerEngine
from remediator.core.model import Exempt, Health, ReplicaState
from remediator.errors import RejectedError
from remediator.ports import Receipt
from tests.testbed.engine import BUSYBOX_IMAGE, PROJECT_LABEL, SERVICE_LABEL
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

    from tests.conftest import MakeProject
    from tests.testbed import engine as testbed

WEB = f"""
services:
  web:
    image: {BUSYBOX_IMAGE}
    command: sleep 3600
    stop_signal: SIGKILL
"""


@pytest.fixture
def engine(docker_engine: testbed.DockerEngine) -> Iterator[DockerEngine]:
    """The engine as remediator sees it."""
    found = DockerEngine(docker_engine.url)
    yield found
    found.close()


def runtime_of(project: testbed.ComposeProject, engine: DockerEngine, **options: Any) -> ComposeRuntime:
    """The project's service `web`."""
    return ComposeRuntime("web", project=project.name, compose_service="web", engine=engine, **options)


def inspect(container: Container) -> dict[str, Any]:
    """What the engine says of a container now."""
    container.reload()
    return container.attrs


def started_at(container: Container) -> str:
    """When a container was started last, as the engine says."""
    return str(inspect(container)["State"]["StartedAt"])


async def test_only_our_projects_service_is_found(compose_project: MakeProject, engine: DockerEngine) -> None:
    """Another project's service of the same name, and our project's other service, are not."""
    services = (
        f"{WEB}  webs:\n    image: {BUSYBOX_IMAGE}\n    command: sleep 3600\n    stop_signal: SIGKILL\n"
    )
    ours, other = compose_project(services), compose_project(WEB)
    [replica] = await runtime_of(ours, engine).replicas()
    assert replica.id == ours.container("web").id
    bystanders = [other.container("web"), ours.container("webs")]
    before = [started_at(container) for container in bystanders]
    assert await runtime_of(ours, engine).restart(replica) is Receipt.SENT
    assert [started_at(container) for container in bystanders] == before


async def test_an_unknown_service_has_no_replicas(compose_project: MakeProject, engine: DockerEngine) -> None:
    """Nothing is made up, and patterns are not expanded."""
    project = compose_project(WEB)
    for name, service in ((project.name, "we"), (project.name, "*"), (project.name[:-1], "web"), ("x", "y")):
        runtime = ComposeRuntime("web", project=name, compose_service=service, engine=engine)
        assert await runtime.replicas() == ()


@pytest.mark.parametrize(("project", "service"), [("", "web"), ("shop", ""), ("  ", "web"), ("", "")])
def test_an_empty_selector_is_refused(project: str, service: str) -> None:
    """To Docker it would mean every container there is."""
    with pytest.raises(ValueError, match="must be named"):
        ComposeRuntime("web", project=project, compose_service=service, engine=DockerEngine("unix:///nobody"))


async def test_the_engine_is_never_asked_for_everything(engine: DockerEngine) -> None:
    """Nor can a later mistake ask it."""
    for labels in ({}, {PROJECT_LABEL: ""}, {"": "web"}):
        with pytest.raises(ValueError, match="not empty"):
            await engine.find(labels)


async def test_a_replica_is_what_the_engine_says(compose_project: MakeProject, engine: DockerEngine) -> None:
    """Every field comes from the container."""
    extra = """    stop_grace_period: 45s
    healthcheck: {test: [CMD, "true"], interval: 1s}
"""
    project = compose_project(WEB + extra)
    container = project.container("web")
    runtime = runtime_of(project, engine)
    wait_until(
        lambda: inspect(container)["State"]["Health"]["Status"] == "healthy", what="a healthy container"
    )
    [replica] = await runtime.replicas()
    state, networks = container.attrs["State"], container.attrs["NetworkSettings"]["Networks"]
    assert replica.name == f"{project.name}-web-1"
    assert replica.started == state["StartedAt"]
    assert replica.started_at is not None
    assert abs(datetime.now(UTC) - replica.started_at) < timedelta(minutes=5)
    assert (replica.state, replica.health) == (ReplicaState.RUNNING, Health.HEALTHY)
    assert replica.stop_timeout.total_seconds() == 45
    assert replica.addresses == {network["IPAddress"] for network in networks.values()}
    assert replica.exempt is None


async def test_replicas_come_in_order_and_are_restarted_one_by_one(
    compose_project: MakeProject, engine: DockerEngine
) -> None:
    """By number, so that the tenth comes after the second."""
    project = compose_project(WEB, up=False)
    project.up("--scale", "web=11")
    runtime = runtime_of(project, engine)
    before = await runtime.replicas()
    assert [replica.name for replica in before] == [f"{project.name}-web-{n}" for n in range(1, 12)]
    assert await runtime.restart(before[1]) is Receipt.SENT
    after = await runtime.replicas()
    assert [replica for replica in after if replica not in before] == [after[1]]


async def test_a_one_off_container_is_exempt(compose_project: MakeProject, engine: DockerEngine) -> None:
    """`docker compose run` carries the service's name; the work in it is somebody's own."""
    project = compose_project(WEB)
    project.compose("run", "--detach", "web", "sleep", "3600")
    runtime = runtime_of(project, engine)
    exempt = {replica.exempt: replica for replica in await runtime.replicas()}
    assert set(exempt) == {None, Exempt.ONE_OFF}
    await assert_never_restarted(runtime, project, Exempt.ONE_OFF)


@pytest.mark.parametrize(
    ("label", "exempt"),
    [("com.docker.compose.hook", Exempt.HOOK), ("com.docker.swarm.task.id", Exempt.SWARM)],
)
async def test_a_container_with_a_telling_label_is_exempt(
    compose_project: MakeProject,
    docker_engine: testbed.DockerEngine,
    engine: DockerEngine,
    label: str,
    exempt: Exempt,
) -> None:
    """Hooks' containers and Swarm's tasks have masters of their own."""
    project = compose_project(WEB)
    labels = {PROJECT_LABEL: project.name, SERVICE_LABEL: "web", label: "pre_start"}
    docker_engine.client.containers.run(
        BUSYBOX_IMAGE, "sleep 3600", detach=True, labels=labels, network_mode="none"
    )
    await assert_never_restarted(runtime_of(project, engine), project, exempt)


async def test_a_container_or_a_whole_service_opts_out_by_a_label(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, engine: DockerEngine
) -> None:
    """Of one service every container has the label, of the other a single one."""
    own = f"  api:\n    image: {BUSYBOX_IMAGE}\n    command: sleep 3600\n    stop_signal: SIGKILL\n"
    whole = f"{own}    scale: 2\n    labels: {{remediator.enable: 'false'}}\n"
    project = compose_project(WEB + whole)
    api = ComposeRuntime("api", project=project.name, compose_service="api", engine=engine)
    assert [replica.exempt for replica in await api.replicas()] == [Exempt.OPTED_OUT] * 2
    for replica in await api.replicas():
        with pytest.raises(RejectedError, match=r"opted out by its label remediator\.enable"):
            await api.restart(replica)
    labels = {PROJECT_LABEL: project.name, SERVICE_LABEL: "web", "remediator.enable": "false"}
    docker_engine.client.containers.run(
        BUSYBOX_IMAGE, "sleep 3600", detach=True, labels=labels, network_mode="none"
    )
    web = runtime_of(project, engine)
    assert {replica.exempt for replica in await web.replicas()} == {None, Exempt.OPTED_OUT}
    await assert_never_restarted(web, project, Exempt.OPTED_OUT)


async def test_the_databases_container_is_exempt(compose_project: MakeProject, engine: DockerEngine) -> None:
    """By the address that the database has, in whatever way it is written."""
    project = compose_project(WEB)
    [address] = (await runtime_of(project, engine).replicas())[0].addresses
    addresses: set[str] = {"not an address", "192.0.2.1"}
    runtime = runtime_of(project, engine, database_addresses=lambda: frozenset(addresses))
    assert (await runtime.replicas())[0].exempt is None
    addresses.add(f"::ffff:{address}")
    await assert_never_restarted(runtime, project, Exempt.DATABASE)


async def test_a_container_with_a_cluster_is_exempt(
    compose_project: MakeProject, engine: DockerEngine
) -> None:
    """PostgreSQL's images say where they keep their data."""
    project = compose_project(f"{WEB}    environment: {{PGDATA: /var/lib/postgresql/data}}\n")
    await assert_never_restarted(runtime_of(project, engine), project, Exempt.DATABASE)


async def test_our_own_container_is_exempt(compose_project: MakeProject, engine: DockerEngine) -> None:
    """By its full id, or by the part of it that is the hostname."""
    project = compose_project(WEB)
    own = str(project.container("web").id)
    for known in (own, own[:12]):
        runtime = runtime_of(project, engine, own=frozenset({known}))
        await assert_never_restarted(runtime, project, Exempt.OWN)


async def test_a_container_that_shares_our_network_is_exempt(
    compose_project: MakeProject, engine: DockerEngine
) -> None:
    """It has our hostname and files, so that we might be in it just as well."""
    main = f"  main:\n    image: {BUSYBOX_IMAGE}\n    command: sleep 3600\n    stop_signal: SIGKILL\n"
    project = compose_project(f'{WEB}    network_mode: "service:main"\n{main}')
    own = frozenset({str(project.container("main").id)})
    await assert_never_restarted(runtime_of(project, engine, own=own), project, Exempt.OWN)


async def test_a_container_that_is_being_replaced_is_exempt(
    compose_project: MakeProject, engine: DockerEngine
) -> None:
    """While a deploy waits for the old one to stop; afterwards the new one is like any other."""
    slow = f"""
services:
  web:
    image: {BUSYBOX_IMAGE}
    command: ["sh", "-c", "trap 'sleep 4; exit 0' TERM; while :; do sleep 0.1; done"]
    stop_grace_period: 20s
"""
    project = compose_project(slow)
    runtime = runtime_of(project, engine)
    deploy = threading.Thread(target=project.up, args=("--force-recreate",))
    deploy.start()
    wait_until(lambda: len(project.containers("web")) == 2, what="Compose to create the new container")
    during = await runtime.replicas()
    assert {replica.exempt for replica in during} == {Exempt.REPLACED}
    [running] = [replica for replica in during if replica.state is ReplicaState.RUNNING]
    with pytest.raises(RejectedError, match="being replaced"):
        await runtime.restart(running)
    deploy.join()
    [replica] = await runtime.replicas()
    assert (replica.state, replica.exempt) == (ReplicaState.RUNNING, None)
    assert "com.docker.compose.replace" in project.container("web").labels


@pytest.mark.parametrize("state", [ReplicaState.PAUSED, ReplicaState.EXITED, ReplicaState.CREATED])
async def test_what_does_not_run_is_left_so(
    compose_project: MakeProject, engine: DockerEngine, state: ReplicaState
) -> None:
    """Docker's restart would start it."""
    project = compose_project(WEB, up=False)
    project.compose("create")
    container = project.container("web")
    if state is not ReplicaState.CREATED:
        container.start()
    if state is ReplicaState.PAUSED:
        container.pause()
    elif state is ReplicaState.EXITED:
        container.stop(timeout=0)
    [replica] = await runtime_of(project, engine).replicas()
    assert replica.state is state
    assert await runtime_of(project, engine).restart(replica) is Receipt.CHANGED
    container.reload()
    assert container.status == state.value


async def test_a_crash_loop_shows_in_the_restarts(compose_project: MakeProject, engine: DockerEngine) -> None:
    """A look may well find it running."""
    crashing = f"""
services:
  web: {{image: "{BUSYBOX_IMAGE}", command: "sh -c 'sleep 0.1; exit 1'", restart: always}}
"""
    project = compose_project(crashing)
    container = project.container("web")
    runtime = runtime_of(project, engine)
    [first] = await runtime.replicas()
    wait_until(
        lambda: inspect(container)["RestartCount"] >= first.restarts + 2,
        what="two restarts",
    )
    [later] = await runtime.replicas()
    assert later.restarts >= first.restarts + 2
    assert later.started != first.started


async def assert_never_restarted(
    runtime: ComposeRuntime, project: testbed.ComposeProject, exempt: Exempt
) -> None:
    """The container that is exempt runs, and goes on running whatever is asked for."""
    [replica] = [replica for replica in await runtime.replicas() if replica.exempt is exempt]
    assert replica.state is ReplicaState.RUNNING
    with pytest.raises(RejectedError, match="never restarted"):
        await runtime.restart(replica)
    container = next(c for c in project.containers("web") if c.id == replica.id)
    assert started_at(container) == replica.started
