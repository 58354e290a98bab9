"""The example stack's HAProxy in front of a real engine: what it lets through, and what it answers 403."""

from __future__ import annotations

import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from tests.testbed.engine import BUSYBOX_IMAGE, SOCKET, DockerEngine, remove_container
from tests.testbed.haproxy import HAProxy
from tests.testbed.missing import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

CONFIG = Path(__file__).parents[2] / "examples" / "compose" / "haproxy.cfg"
# Another run on the same engine has containers too.
LABEL = f"docker-proxy-{uuid.uuid4().hex}"
FORBIDDEN = [
    line
    for line in Path(__file__).with_name("docker_proxy_forbidden.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture(scope="module")
def proxy(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HAProxy]:
    """The proxy as the example ships it, in front of this machine's engine."""
    assert docker_engine.url == SOCKET
    path = tmp_path_factory.mktemp("proxy") / "docker.sock"
    with HAProxy(CONFIG, path, Path(SOCKET.removeprefix("unix://"))) as started:
        yield started


@pytest.fixture(scope="module")
def container(docker_engine: DockerEngine) -> Iterator[Container]:
    """A container to ask for things about."""
    try:
        made = docker_engine.client.containers.run(
            BUSYBOX_IMAGE, ["sleep", "3600"], detach=True, labels={"remediator-test": LABEL}
        )
    except ImageNotFound:
        missing(f"no image {BUSYBOX_IMAGE} (make testbed builds it)")
    yield made
    remove_container(made)


def state(container: Container) -> tuple[str, Any]:
    """What nothing but a restart may change."""
    container.reload()
    return container.name or "", container.attrs["State"]


@pytest.mark.parametrize("prefix", ["", "/v1.41", "/v1.24"])
def test_reads_pass(proxy: HAProxy, container: Container, prefix: str) -> None:
    """What remediator reads comes through, with and without a version in the path."""
    assert proxy.ask("GET", f"{prefix}/_ping").rest.endswith(b"OK")
    assert "ApiVersion" in proxy.ask("GET", f"{prefix}/version").json()
    filters = f"filters=%7B%22label%22%3A%5B%22remediator-test%3D{LABEL}%22%5D%7D"
    listed = proxy.ask("GET", f"{prefix}/containers/json?all=1&limit=-1&{filters}").json()
    assert [item["Id"] for item in listed] == [container.id]
    assert proxy.ask("GET", f"{prefix}/containers/{container.id}/json").json()["Id"] == container.id
    assert proxy.ask("GET", f"{prefix}/containers/{container.short_id}/json").json()["Id"] == container.id


def test_what_the_engine_refuses_is_told_as_it_is(proxy: HAProxy) -> None:
    """The proxy adds nothing to an answer of the engine."""
    assert proxy.ask("POST", f"/containers/{'0' * 64}/restart").status == 404


@pytest.mark.parametrize("prefix", ["", "/v1.41"])
def test_restart_passes(proxy: HAProxy, container: Container, prefix: str) -> None:
    """A restart by whole id is carried out."""
    _, before = state(container)
    assert proxy.ask("POST", f"{prefix}/containers/{container.id}/restart?t=0").status == 204
    _, after = state(container)
    assert after["StartedAt"] > before["StartedAt"]
    assert after["Running"]


def test_the_docker_sdk_works_through_it(proxy: HAProxy, container: Container) -> None:
    """The SDK finds and restarts a container, and can show why it may do no more."""
    _, before = state(container)
    with closing(docker.DockerClient(base_url=f"unix://{proxy.path}")) as client:
        (seen,) = client.containers.list(filters={"label": f"remediator-test={LABEL}"})
        assert seen.id == container.id
        seen.restart(timeout=0)
        with pytest.raises(DockerException, match="allows to list, inspect and restart"):
            seen.kill()
    _, after = state(container)
    assert after["StartedAt"] > before["StartedAt"]


def test_a_restart_may_take_longer_than_a_request_may_take_to_arrive(
    proxy: HAProxy, container: Container
) -> None:
    """The proxy waits as long as a container takes to stop."""
    # `sleep` as the first process of a container ignores SIGTERM, so that the engine waits all of t.
    begin = time.monotonic()
    assert proxy.ask("POST", f"/containers/{container.id}/restart?t=7").status == 204
    assert time.monotonic() - begin > 6


@pytest.mark.parametrize("request_line", FORBIDDEN)
def test_everything_else_is_forbidden(proxy: HAProxy, container: Container, request_line: str) -> None:
    """Nothing but the few allowed requests passes, and the container stays as it is."""
    before = state(container)
    words = {"NAME": container.name or "", "SHORT": container.short_id, "ID": container.id or ""}
    for word, value in words.items():
        request_line = request_line.replace(word, value)
    method, target = request_line.split(" ", 1)
    assert proxy.ask(method, target).status == 403
    assert state(container) == before


@pytest.mark.parametrize(
    "header", ["Upgrade: h2c", "Upgrade: tcp", "Upgrade: websocket", "Transfer-Encoding: chunked"]
)
@pytest.mark.parametrize("request_line", ["GET /_ping", "POST /containers/ID/restart?t=0"])
def test_allowed_requests_may_not_turn_into_something_else(
    proxy: HAProxy, container: Container, request_line: str, header: str
) -> None:
    """No tunnel and no body comes in through an allowed path."""
    before = state(container)
    method, target = request_line.replace("ID", container.id or "").split()
    upgrade = header.startswith("Upgrade")
    lines = [f"{method} {target} HTTP/1.1", "Host: docker", header]
    lines += ["Connection: Upgrade", "", ""] if upgrade else ["", "0", "", ""]
    answer = proxy.send("\r\n".join(lines).encode() + b"GET /end HTTP/1.0\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))
    assert state(container) == before


def test_a_restart_carries_no_body(proxy: HAProxy, container: Container) -> None:
    """The one request that acts takes nothing from the client but its id and time."""
    before = state(container)
    assert (
        proxy.ask("POST", f"/containers/{container.id}/restart?t=0", body='{"Privileged":true}').status == 403
    )
    assert state(container) == before


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length : 4\r\n\r\nabcd",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: -4\r\n\r\n",
        b"GET /containers/json#/../info HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /containers/json\x00 HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /containers/json\x0b/info HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: d\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n",
        b"CONNECT docker:80 HTTP/1.1\r\nHost: docker:80\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /_ping\r\n",
    ],
)
def test_nonsense_never_reaches_the_engine(proxy: HAProxy, raw: bytes) -> None:
    """What two readers could read in two ways is answered by the proxy itself."""
    # A last request that closes, so that a proxy which took the first for a good one still comes to an end.
    answer = proxy.send(raw + b"GET /end HTTP/1.0\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 ", b"HTTP/1.1 405 "))
    assert b"Api-Version" not in answer


def test_each_request_on_a_connection_is_judged(proxy: HAProxy, container: Container) -> None:
    """An allowed request opens no door to the next one."""
    before = state(container)
    good = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
    bad = f"POST /containers/{container.id}/kill HTTP/1.1\r\nHost: docker\r\n\r\n".encode()
    answer = proxy.send(good + bad + b"GET /end HTTP/1.0\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.count(b"HTTP/1.1 403 ") >= 1
    assert state(container) == before
