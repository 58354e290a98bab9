"""How containers are restarted: with their own stop timeout, once, and only through what allows it."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.adapters.compose import ComposeRuntime, DockerEngine
from remediator.core.model import ReplicaState
from remediator.errors import RejectedError, UnavailableError
from remediator.ports import Receipt
from tests.testbed.engine import BUSYBOX_IMAGE
from tests.testbed.haproxy import HAProxy
from tests.testbed.sockets import Forwarder
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from docker.models.containers import Container

    from tests.conftest import MakeProject
    from tests.testbed import engine as testbed

PROXY_CONFIG = Path(__file__).parents[2] / "examples" / "compose" / "haproxy.cfg"
QUICK = "sleep 3600"
STUBBORN = """["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]"""
GRACEFUL = """["sh", "-c", "trap 'sleep 3; exit 0' TERM; while :; do sleep 0.1; done"]"""


def web(command: str, *, grace: str | None = None, signal: str = "SIGTERM") -> str:
    """A Compose file of one service."""
    lines = [f"image: {BUSYBOX_IMAGE}", f"command: {command}", f"stop_signal: {signal}"]
    if grace is not None:
        lines.append(f"stop_grace_period: {grace}")
    return "services:\n  web:\n" + "".join(f"    {line}\n" for line in lines)


def runtime_of(project: testbed.ComposeProject, engine: DockerEngine) -> ComposeRuntime:
    """The project's service `web`."""
    return ComposeRuntime("web", project=project.name, compose_service="web", engine=engine)


def started_at(container: Container) -> str:
    """When a container was started last, as the engine says."""
    container.reload()
    return str(container.attrs["State"]["StartedAt"])


def exit_codes(engine: testbed.DockerEngine, container: Container, since: float) -> list[str]:
    """How a container's process ended, each time since then."""
    events = engine.client.events(
        since=int(since), until=int(time.time()) + 1, decode=True, filters={"container": container.id}
    )
    return [event["Actor"]["Attributes"]["exitCode"] for event in events if event["Action"] == "die"]


async def test_a_container_gets_the_time_it_was_promised(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine
) -> None:
    """It needs three seconds to end by itself, and is not killed before."""
    project = compose_project(web(GRACEFUL, grace="15s"))
    container, since = project.container("web"), time.time()
    engine = DockerEngine(docker_engine.url)
    runtime = runtime_of(project, engine)
    [replica] = await runtime.replicas()
    assert await runtime.restart(replica) is Receipt.SENT
    assert exit_codes(docker_engine, container, since) == ["0"]
    engine.close()


async def test_a_container_that_ignores_the_signal_is_killed_after_its_own_timeout(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine
) -> None:
    """After one second here, not after Docker's ten."""
    project = compose_project(web(STUBBORN, grace="1s"))
    container, since = project.container("web"), time.time()
    engine = DockerEngine(docker_engine.url)
    runtime = runtime_of(project, engine)
    [replica] = await runtime.replicas()
    begin = time.monotonic()
    assert await runtime.restart(replica) is Receipt.SENT
    assert time.monotonic() - begin < 8
    assert exit_codes(docker_engine, container, since) == ["137"]
    engine.close()


@pytest.mark.parametrize(("grace", "sent", "short"), [("47s", 47, False), (None, 10, True), ("0s", 0, True)])
async def test_the_stop_timeout_is_always_sent(
    compose_project: MakeProject,
    docker_engine: testbed.DockerEngine,
    tmp_path: Path,
    grace: str | None,
    sent: int,
    short: bool,
) -> None:
    """The engine, or what stands in for one, is never left to choose."""
    project = compose_project(web(QUICK, grace=grace, signal="SIGKILL"))
    with Forwarder(tmp_path / "engine.sock", docker_engine.url) as forwarder:
        engine = DockerEngine(forwarder.url)
        runtime = runtime_of(project, engine)
        [replica] = await runtime.replicas()
        [stop_grace] = await runtime.stop_graces()
        assert await runtime.restart(replica) is Receipt.SENT
        engine.close()
        posts = [request for request in forwarder.requests if request.startswith("POST")]
    assert [post.partition("/containers/")[2] for post in posts] == [f"{replica.id}/restart?t={sent}"]
    assert replica.stop_timeout == timedelta(seconds=sent)
    assert stop_grace.short is short


async def test_a_lost_answer_is_not_taken_for_a_failure(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """The request is sent once; what came of it can be read from the container."""
    project = compose_project(web(QUICK, grace="1s", signal="SIGKILL"))
    container = project.container("web")
    before = started_at(container)
    with Forwarder(
        tmp_path / "engine.sock", docker_engine.url, swallow=lambda request: request.startswith("POST")
    ) as forwarder:
        engine = DockerEngine(forwarder.url, patience=timedelta(seconds=1))
        runtime = runtime_of(project, engine)
        [replica] = await runtime.replicas()
        with pytest.raises(UnavailableError, match="restart"):
            await runtime.restart(replica)
        wait_until(lambda: started_at(container) != before, what="the engine to restart the container")
        [after] = await runtime.replicas()
        engine.close()
        posts = [request for request in forwarder.requests if request.startswith("POST")]
    assert after.started != replica.started
    assert len(posts) == 1


@pytest.mark.parametrize("status", [b"400 Bad Request", b"404 Not Found", b"500 Internal Server Error"])
async def test_a_start_that_fails_is_no_refusal(
    status: bytes, compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """The container was stopped, whatever an engine calls it that its program is gone; the world is asked."""
    more = '    volumes: ["./tool:/tool"]\n    network_mode: none\n'
    project = compose_project(web('["/tool/run"]', grace="0s") + more, up=False)
    tool = project.directory / "tool" / "run"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nsleep 3600\n")
    tool.chmod(0o755)
    project.up()

    def renamed(answer: bytes) -> bytes:
        return answer.replace(b"500 Internal Server Error", status)

    with Forwarder(tmp_path / "engine.sock", docker_engine.url, answer=renamed) as forwarder:
        engine = DockerEngine(forwarder.url)
        runtime = runtime_of(project, engine)
        [replica] = await runtime.replicas()
        tool.unlink()
        with pytest.raises(UnavailableError):
            await runtime.restart(replica)
        [after] = await runtime.replicas()
        engine.close()
    assert after.state is ReplicaState.EXITED
    assert "no such file" in after.error


async def test_a_dry_runs_client_cannot_restart(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """Nothing but GET leaves the process."""
    project = compose_project(web(QUICK))
    before = started_at(project.container("web"))
    with Forwarder(tmp_path / "engine.sock", docker_engine.url) as forwarder:
        engine = DockerEngine(forwarder.url, read_only=True)
        runtime = runtime_of(project, engine)
        [replica] = await runtime.replicas()
        with pytest.raises(RejectedError, match="dry run"):
            await runtime.restart(replica)
        with pytest.raises(RejectedError, match="dry run"):
            await engine.restart(replica.id, stop_timeout=0, stops_within=timedelta(0))
        report = await engine.report()
        engine.close()
        assert {request.split()[0] for request in forwarder.requests} == {"GET"}
    assert (report.may_restart, report.may_execute) == (None, None)
    assert started_at(project.container("web")) == before


async def test_the_examples_proxy_allows_what_is_needed_and_no_more(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """Looking and restarting work through it."""
    project = compose_project(web(QUICK, signal="SIGKILL"))
    upstream = Path(docker_engine.url.removeprefix("unix://"))
    with HAProxy(PROXY_CONFIG, tmp_path / "proxy.sock", upstream) as proxy:
        engine = DockerEngine(f"unix://{proxy.path}")
        runtime = runtime_of(project, engine)
        [replica] = await runtime.replicas()
        assert await runtime.restart(replica) is Receipt.SENT
        report = await engine.report()
        engine.close()
    assert started_at(project.container("web")) != replica.started
    assert (report.excess, report.may_restart, report.may_execute) == ((), True, False)


async def test_a_proxy_that_forbids_restarts_is_told_from_a_failure(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """Refused, with the advice where to allow it; and `report` knows beforehand."""
    project = compose_project(web(QUICK))
    config = tmp_path / "haproxy.cfg"
    config.write_text("""
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend docker
    bind "${DOCKER_PROXY_BIND}"
    http-request deny if { method POST }
    default_backend engine
backend engine
    server engine "unix@${DOCKER_PROXY_SOCKET}"
""")
    upstream = Path(docker_engine.url.removeprefix("unix://"))
    with HAProxy(config, tmp_path / "proxy.sock", upstream) as proxy:
        engine = DockerEngine(f"unix://{proxy.path}")
        runtime = runtime_of(project, engine)
        [replica] = await runtime.replicas()
        with pytest.raises(RejectedError, match=r"403.*allow this request in the proxy") as refused:
            await runtime.restart(replica)
        report = await engine.report()
        engine.close()
    assert "\n" not in str(refused.value)
    assert "<" not in str(refused.value)
    assert started_at(project.container("web")) == replica.started
    assert report.may_restart is False


async def test_a_whole_engine_is_recognised(docker_engine: testbed.DockerEngine) -> None:
    """Whoever holds its socket can do anything, and is told so."""
    engine = DockerEngine(docker_engine.url)
    report = await engine.report()
    engine.close()
    assert report.host == docker_engine.url
    assert report.version == docker_engine.client.version()["Version"]
    assert report.api_version == docker_engine.client.version()["ApiVersion"]
    assert report.may_restart
    assert report.may_execute
    assert len(report.excess) == 3
