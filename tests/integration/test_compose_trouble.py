"""An engine that is down, hung or slow, or comes back: told within the deadline, and never waited for."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from docker.errors import APIError

from remediator.adapters.compose import ComposeRuntime, DockerEngine
from remediator.errors import UnavailableError
from remediator.ports import Receipt
from tests.testbed.engine import BUSYBOX_IMAGE
from tests.testbed.sockets import Forwarder, Listener
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeProject
    from tests.testbed import engine as testbed

SHORT = timedelta(seconds=0.5)
DRIP = b"HTTP/1.1 200 OK\r\nA: b\r\n"
WEB = f"""
services:
  web: {{image: "{BUSYBOX_IMAGE}", command: sleep 3600, stop_signal: SIGKILL}}
"""
ASK = """
import asyncio, sys
from datetime import timedelta
from remediator.adapters.compose import DockerEngine
from remediator.errors import UnavailableError

async def main():
    engine = DockerEngine(sys.argv[1], answer_within=timedelta(seconds=0.5))
    try:
        await engine.find({"label": "value"})
    except UnavailableError as error:
        print(error)

asyncio.run(main())
"""


def some_service(engine: DockerEngine) -> ComposeRuntime:
    """A service that the engine is asked for."""
    return ComposeRuntime("web", project="shop", compose_service="web", engine=engine)


def service_of(project: testbed.ComposeProject, engine: DockerEngine) -> ComposeRuntime:
    """The project's service `web`."""
    return ComposeRuntime("web", project=project.name, compose_service="web", engine=engine)


async def test_no_socket(tmp_path: Path) -> None:
    """The engine is not installed, or its socket not mounted."""
    with pytest.raises(UnavailableError, match="there is no such socket"):
        await some_service(DockerEngine(f"unix://{tmp_path}/nobody.sock")).replicas()


async def test_nobody_behind_the_socket(tmp_path: Path) -> None:
    """The engine has crashed."""
    with Listener(tmp_path / "engine.sock") as listener:
        url = listener.url
        (tmp_path / "left.sock").hardlink_to(listener.path)
    with pytest.raises(UnavailableError, match="nobody listens"):
        await some_service(DockerEngine(url.replace("engine.sock", "left.sock"))).replicas()


@pytest.mark.parametrize("drip", [b"", DRIP], ids=["silent", "slow"])
async def test_a_hung_engine_costs_no_more_than_the_deadline(tmp_path: Path, drip: bytes) -> None:
    """Also if it sends a byte now and then."""
    with Listener(tmp_path / "engine.sock", drip) as listener:
        engine = DockerEngine(listener.url, answer_within=SHORT)
        begin = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no answer") as unanswered:
            await some_service(engine).replicas()
        assert time.monotonic() - begin < 5
        assert "\n" not in str(unanswered.value)
        engine.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n{}", b"nonsense\r\n\r\n", b"\x00" * 64])
async def test_nonsense_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    """Something else than an engine is behind the socket."""

    class Other(Listener):
        def serve(self, client: object) -> None:
            client.recv(65536)  # type: ignore[attr-defined]
            client.sendall(answer)  # type: ignore[attr-defined]

    with Other(tmp_path / "engine.sock") as listener:
        engine = DockerEngine(listener.url)
        with pytest.raises(UnavailableError) as unanswered:
            await some_service(engine).replicas()
        assert "\n" not in str(unanswered.value)


async def test_a_hung_engine_is_not_asked_without_end(tmp_path: Path) -> None:
    """A few calls may be overdue; then no more are made until it lets go of one."""
    with Listener(tmp_path / "engine.sock", DRIP) as listener:
        engine = DockerEngine(listener.url, answer_within=SHORT, overdue=2)
        for _ in range(2):
            with pytest.raises(UnavailableError, match="no answer"):
                await some_service(engine).replicas()
        asked = listener.accepted
        for _ in range(5):
            with pytest.raises(UnavailableError, match="still unanswered"):
                await some_service(engine).replicas()
        assert listener.accepted == asked
        listener.drop()
        # Each call is refused at once until the threads have noticed.
        deadline = time.monotonic() + 30
        while listener.accepted == asked and time.monotonic() < deadline:
            with pytest.raises(UnavailableError):
                await some_service(engine).replicas()
        assert listener.accepted > asked


@pytest.mark.parametrize("drip", [b"", DRIP], ids=["silent", "slow"])
def test_a_hung_engine_does_not_keep_the_process_alive(tmp_path: Path, drip: bytes) -> None:
    """The unanswered call ends with the process, not the other way round."""
    with Listener(tmp_path / "engine.sock", drip) as listener:
        done = subprocess.run(
            [sys.executable, "-c", ASK, listener.url], capture_output=True, text=True, timeout=20, check=True
        )
    assert "no answer" in done.stdout
    assert not done.stderr


async def test_an_engine_that_comes_back_is_met_anew(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """Its API may have another version by then."""
    project = compose_project(WEB)
    path = tmp_path / "engine.sock"
    engine = DockerEngine(f"unix://{path}")
    runtime = service_of(project, engine)
    with Forwarder(path, docker_engine.url) as forwarder:
        before = await runtime.replicas()
        await runtime.replicas()
        assert forwarder.requests.count("GET /version") == 1
    with pytest.raises(UnavailableError):
        await runtime.replicas()
    with Forwarder(path, docker_engine.url) as forwarder:
        assert await runtime.replicas() == before
        assert forwarder.requests[0] == "GET /version"
    engine.close()


async def test_a_restart_is_not_sent_to_an_engine_that_does_not_answer(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """Else it might carry it out long after we have given up."""
    project = compose_project(WEB)
    path = tmp_path / "engine.sock"
    engine = DockerEngine(f"unix://{path}", answer_within=SHORT)
    runtime = service_of(project, engine)
    with Forwarder(path, docker_engine.url):
        [replica] = await runtime.replicas()
    with Forwarder(path, docker_engine.url, swallow=lambda _: True) as hung:
        with pytest.raises(UnavailableError):
            await runtime.restart(replica)
        assert hung.requests
        assert not [request for request in hung.requests if request.startswith("POST")]
    engine.close()
    wait_until(lambda: project.container("web").status == "running", what="the container to run on")
    assert project.container("web").attrs["State"]["StartedAt"] == replica.started


async def test_containers_that_vanish_meanwhile_are_left_out(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """Removed between being listed and being looked at."""
    project = compose_project(WEB, up=False)
    project.up("--scale", "web=3")
    gone = next(c for c in project.containers("web") if c.name == f"{project.name}-web-2")

    def remove(request: str) -> None:
        if f"/containers/{gone.id}/json" in request:
            with suppress(APIError):
                gone.remove(force=True)

    with Forwarder(tmp_path / "engine.sock", docker_engine.url, before=remove) as forwarder:
        engine = DockerEngine(forwarder.url)
        replicas = await service_of(project, engine).replicas()
        engine.close()
    assert [replica.name[-1] for replica in replicas] == ["1", "3"]


async def test_a_container_that_vanishes_just_before_its_restart_has_changed(
    compose_project: MakeProject, docker_engine: testbed.DockerEngine, tmp_path: Path
) -> None:
    """The last look still saw it."""
    project = compose_project(WEB)
    container = project.container("web")

    def remove(request: str) -> None:
        if request.startswith("POST"):
            container.remove(force=True)

    with Forwarder(tmp_path / "engine.sock", docker_engine.url, before=remove) as forwarder:
        engine = DockerEngine(forwarder.url)
        runtime = service_of(project, engine)
        [replica] = await runtime.replicas()
        assert await runtime.restart(replica) is Receipt.CHANGED
        assert await runtime.replicas() == ()
        engine.close()
