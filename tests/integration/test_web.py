"""The web server on a real socket, with clients that behave and clients that do not."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.web import Board, Sources, WebServer, make_app
from remediator.adapters.web.pages import Context
from remediator.adapters.web.server import Limits
from remediator.core.events import Event
from tests.testbed.web import Answer, ask, free_port
from tests.unit.cycle_world import Told

QUICK = Limits(connections=8, per_second=1000, head=0.5, whole=2.0)


def _sources(say: Callable[[], bytes] = lambda: b"up 1\n") -> Sources:
    async def metrics() -> bytes:
        return say()

    async def nothing(*_: str) -> None:
        return None

    async def page() -> Context:
        return {}

    board = Board(page, nothing, nothing)
    return Sources(metrics, "text/plain", lambda: "", lambda: "not yet", board)


@asynccontextmanager
async def serving(
    port: int, told: Told, *, limits: Limits = QUICK, sources: Sources | None = None
) -> AsyncIterator[None]:
    """A server for the length of the block."""
    app = make_app(sources or _sources(), ["status.example.org"], told, SystemClock())
    task = asyncio.create_task(WebServer(app, "127.0.0.1", port, told, limits).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def get(port: int, path: str, **options: object) -> Answer:
    """Ask from a thread, as another process would."""
    return await asyncio.to_thread(ask, port, path, **options)  # type: ignore[arg-type]


async def told_of(told: Told, event: Event) -> None:
    """Wait until an event was told."""
    async with asyncio.timeout(20):
        while not told.of(event):  # noqa: ASYNC110  it has no way to wake anybody
            await asyncio.sleep(0.02)


async def test_it_answers_once_a_connection_with_hardened_headers_and_no_name_of_its_own() -> None:
    """Nothing from elsewhere is ever loaded, framed, sniffed, cached or sent on."""
    port, told = free_port(), Told()
    async with serving(port, told):
        await told_of(told, Event.WEB_AVAILABLE)
        answer = await get(port, "/metrics")
        head = await get(port, "/metrics", method="HEAD")
        missing = await get(port, "/nothing")
        verdicts = [(await get(port, path)).status for path in ("/healthz", "/readyz")]
    assert (answer.status, answer.body) == (200, "up 1\n")
    assert (head.status, head.body) == (200, "")
    assert missing.status == 404
    assert verdicts == [200, 503]
    for found in (answer, head, missing):
        policy = found.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "*" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["connection"] == "close"
        assert "server" not in found.headers


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"headers": {"Host": "status.example.org"}}, 200),
        ({"headers": {"Host": "STATUS.example.org.:80"}}, 200),
        ({"headers": {"Host": "localhost:9719"}}, 200),
        ({"headers": {"Host": "[::1]:9719"}}, 200),
        ({"headers": {"Host": "192.0.2.7"}}, 200),
        ({"headers": {"Host": "rebound.example.net"}}, 421),
        ({"headers": {"Host": "127.0.0.1.example.net:9719"}}, 421),
        ({"headers": {"Host": "[]"}}, 421),
        ({"headers": {"Host": ""}}, 421),
        ({"method": "POST"}, 405),
        ({"method": "DELETE"}, 405),
        ({"method": "OPTIONS"}, 405),
        ({"method": "GET", "body": "hello"}, 413),
        ({"headers": {"Upgrade": "websocket", "Connection": "Upgrade"}}, 200),
    ],
)
async def test_only_plain_reading_by_a_name_of_ours_is_answered(
    options: dict[str, object], status: int
) -> None:
    """Whatever else is asked is refused, in words."""
    port, told = free_port(), Told()
    async with serving(port, told):
        await told_of(told, Event.WEB_AVAILABLE)
        answer = await get(port, "/metrics", **options)
    assert answer.status == status
    assert answer.body
    assert status == 200 or "up 1" not in answer.body


RUBBISH = {
    "noise": bytes(range(128, 256)) * 8,
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a head without end": b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10_000,
    "two hosts": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n",
    "chunks": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
    "no host": b"GET /metrics HTTP/1.0\r\n\r\n",
    "a proxy's request": b"CONNECT example.net:443 HTTP/1.1\r\nHost: example.net:443\r\n\r\n",
    "another site's address": b"GET http://example.net/metrics HTTP/1.1\r\nHost: example.net\r\n\r\n",
    "out of its directory": b"GET /static/../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "pipelined": b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
}


def _send(port: int, data: bytes) -> bytes:
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client, suppress(OSError):
        client.sendall(data)
        while part := client.recv(65536):
            received += part
    return received


@pytest.mark.parametrize("data", RUBBISH.values(), ids=RUBBISH)
async def test_rubbish_is_refused_without_a_word_in_the_log(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Each ends with its connection; the next client is served, and nobody can fill the log."""
    port, told = free_port(), Told()
    async with serving(port, told):
        await told_of(told, Event.WEB_AVAILABLE)
        received = await asyncio.to_thread(_send, port, data)
        assert b"up 1" not in received
        assert b"root:" not in received
        assert received.count(b"HTTP/1.1 ") <= 1
        assert (await get(port, "/metrics")).status == 200
    assert told.names() == ["web_available"]
    assert not caplog.records


async def test_slow_and_silent_clients_are_cut_off_and_the_others_are_served() -> None:
    """With all places taken by clients that say half a sentence, a request waits its turn, not for them."""
    port, told = free_port(), Told()
    async with serving(port, told):
        await told_of(told, Event.WEB_AVAILABLE)
        with ExitStack() as stack:
            slow = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                for _ in range(QUICK.connections * 2)
            ]
            for client in slow:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: loc")
            answer = await get(port, "/metrics")
            assert answer.status == 200
            await asyncio.sleep(QUICK.head * 3)
            for client in slow:
                client.settimeout(5)
                with suppress(ConnectionResetError):
                    assert await asyncio.to_thread(client.recv, 1) == b""


async def test_a_client_that_does_not_take_its_answer_is_cut_off() -> None:
    """What it was to get is not kept for it."""
    port, told = free_port(), Told()
    large = b"x" * 30_000_000
    async with serving(port, told, sources=_sources(lambda: large)):
        await told_of(told, Event.WEB_AVAILABLE)
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(QUICK.connections)]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begun = time.monotonic()
        assert len((await get(port, "/metrics")).body) == len(large)
        assert time.monotonic() - begun < 10
        for client in clients:
            client.close()


async def test_thousands_of_connections_hold_nobody_up() -> None:
    """They wait in the kernel: our descriptors, the loop and whoever else is asked for stay free."""
    port, told = free_port(), Told()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    limits = Limits(connections=8, per_second=50, head=0.5, whole=2.0)
    gaps: list[float] = []

    async def tick() -> None:
        at = [time.monotonic()]
        while True:
            await asyncio.sleep(0.01)
            at.append(time.monotonic())
            gaps[:] = [later - earlier for earlier, later in pairwise(at)]

    clients: list[socket.socket] = []
    try:
        async with serving(port, told, limits=limits):
            await told_of(told, Event.WEB_AVAILABLE)
            ticking = asyncio.create_task(tick())
            for number in range(3000):
                client = socket.socket()
                client.setblocking(False)  # noqa: FBT003
                with suppress(BlockingIOError):
                    client.connect(("127.0.0.1", port))
                clients.append(client)
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(2.0)
            ticking.cancel()
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(gaps) > 50
    assert max(gaps[-50:]) < 1.0
    assert told.names() == ["web_available"]


async def test_who_asks_and_leaves_leaves_nothing_behind() -> None:
    """Given a page that takes for ever, when hundreds ask for it and are gone at once, then so is their work.

    The next one is served, and never more than a few are waited for.
    """
    port, told, hung = free_port(), Told(), asyncio.Event()
    asked = most = 0

    async def slow() -> bytes:
        nonlocal asked
        asked += 1
        await hung.wait()
        return b"up 1\n"

    async with serving(port, told, sources=replace(_sources(), metrics=slow)):
        await told_of(told, Event.WEB_AVAILABLE)
        before = len(asyncio.all_tasks())
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.transport.abort()
            most = max(most, len(asyncio.all_tasks()) - before)
        async with asyncio.timeout(20):
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110  they have no way to wake anybody
                await asyncio.sleep(0.02)
        hung.set()
        assert (await get(port, "/metrics")).body == "up 1\n"
    assert asked > 1
    assert most <= QUICK.connections


async def test_one_thing_is_made_at_a_time() -> None:
    """Pages and metrics are asked for at once; side by side each would have its own quarter."""
    port, told = free_port(), Told()
    at_once: list[int] = [0]

    async def make(*_: str) -> bytes:
        at_once.append(at_once[-1] + 1)
        await asyncio.sleep(0.1)
        at_once.append(at_once[-1] - 1)
        return b"up 1\n"

    async def incident(_: str) -> None:
        await make()

    sources = _sources()
    sources = replace(sources, metrics=make, board=replace(sources.board, incident=incident))
    async with serving(port, told, sources=sources):
        await told_of(told, Event.WEB_AVAILABLE)
        answers = await asyncio.gather(
            *(get(port, path) for path in ("/metrics", "/incidents/1", "/incidents/2"))
        )
    assert [answer.status for answer in answers] == [200, 404, 404]
    assert len(at_once) == 7
    assert max(at_once) == 1


async def test_a_port_in_use_is_told_once_and_taken_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else comes of it."""
    monkeypatch.setattr("remediator.adapters.web.server._RETRY", 0.1)
    told = Told()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with serving(port, told):
            await told_of(told, Event.WEB_UNAVAILABLE)
            await asyncio.sleep(0.5)
            taken.close()
            await told_of(told, Event.WEB_AVAILABLE)
            assert (await get(port, "/metrics")).status == 200
    assert told.names() == ["web_unavailable", "web_available"]
    assert told.of(Event.WEB_UNAVAILABLE)[0]["because"] == (
        "the address is already in use; end what serves there, or set another web.listen"
    )


async def test_a_fault_of_a_page_is_said_once_and_shown_without_its_particulars() -> None:
    """Whoever asks learns that it failed, the log learns why."""
    port, told = free_port(), Told()

    def fail() -> bytes:
        raise RuntimeError("secret particulars")

    async with serving(port, told, sources=_sources(fail)):
        await told_of(told, Event.WEB_AVAILABLE)
        answers = [await get(port, "/metrics") for _ in range(3)]
    assert {answer.status for answer in answers} == {500}
    assert "secret" not in answers[0].body
    assert "content-security-policy" in answers[0].headers
    (said,) = told.of(Event.WEB_FAILED)
    assert said["because"] == "RuntimeError: secret particulars"
    assert said["path"] == "/metrics"
