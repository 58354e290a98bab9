"""A server that is down, restarts, or throws us out: unknown, and back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from remediator.core.model import ProbeResult
from remediator.core.trouble import TroubleKind
from remediator.errors import UnavailableError
from remediator.ports import Receipt
from tests.testbed.roles import PASSWORD, create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.watching import moment, own_session, sample_until, sessions_of, watching
from tests.testbed.wire import Wire

if TYPE_CHECKING:
    from remediator.core.model import Sample
    from tests.conftest import MakePostgres
    from tests.testbed.postgres import PostgresServer, StopMode

VERSIONS = pytest.mark.parametrize("version", [15, 16, 18])
GONE = {TroubleKind.STOPPING, TroubleKind.UNREACHABLE}


def _make_standby(server: PostgresServer) -> None:
    (server.directory / "data" / "standby.signal").touch()


def _promote(server: PostgresServer) -> None:
    (server.directory / "data" / "promote").touch()
    os.kill(server.pid, signal.SIGUSR1)


def _is_reading(sample: Sample) -> bool:
    return sample.trouble is None and sample.slots is not None


def _unknown(sample: Sample) -> TroubleKind | None:
    """The trouble of a sample that is no reading and says nothing about slots."""
    assert sample.slots is None
    assert sample.probe is None or sample.probe.result is ProbeResult.UNAVAILABLE
    return sample.trouble.kind if sample.trouble else None


async def test_our_own_session_is_terminated(postgres: PostgresServer) -> None:
    """One sample is lost, and the next one has a new session."""
    async with watching(create_watch_role(postgres)) as database:
        await database.sample(moment())
        pid = (await own_session(database)).id.pid
        postgres.rows("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": pid})
        assert _unknown(await database.sample(moment())) in GONE
        assert _is_reading(await database.sample(moment()))
        assert (await own_session(database)).id.pid != pid


async def test_cut_off_while_terminating(postgres: PostgresServer) -> None:
    """Nothing is claimed of what was not answered, and nothing is raised."""
    with open_idle(create_app_role(postgres), 2) as pids:
        async with watching(create_watch_role(postgres)) as database:
            chosen = await sessions_of(database, pids)
            own = (await own_session(database)).id.pid
            postgres.rows("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": own})
            assert await database.terminate(chosen, timedelta(0)) == (Receipt.UNKNOWN,) * 2
            assert postgres.alive(pids) == set(pids)
            assert await database.terminate(chosen, timedelta(0)) == (Receipt.SENT,) * 2


@VERSIONS
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_the_server_restarts(make_postgres: MakePostgres, version: int, mode: StopMode) -> None:
    """However it went down, the next sample is unknown, and then another server answers."""
    server = make_postgres(version)
    async with watching(create_watch_role(server)) as database:
        before = (await database.sample(moment())).server
        server.rows("CHECKPOINT")  # this server forgets the newest things when it crashes, our role too
        server.restart(mode)
        assert _unknown(await database.sample(moment())) in GONE
        after = (await database.sample(moment())).server
        assert before is not None
        assert after is not None
        assert after.started_at > before.started_at


async def test_a_crashed_neighbour_takes_us_along(make_postgres: MakePostgres) -> None:
    """The server recovers from a killed process by ending every session; then it answers again."""
    server = make_postgres(16)
    with open_idle(create_app_role(server), 1) as pids:
        async with watching(create_watch_role(server)) as database:
            await database.sample(moment())
            server.rows("CHECKPOINT")  # this server forgets the newest things when it crashes, our role too
            os.kill(pids[0], signal.SIGKILL)
            kinds = set()

            def recovered(sample: Sample) -> bool:
                if not _is_reading(sample):
                    kinds.add(_unknown(sample))
                return bool(kinds) and _is_reading(sample)

            await sample_until(database, recovered)
            assert kinds <= {*GONE, TroubleKind.STARTING}


@VERSIONS
async def test_down_and_up_again(make_postgres: MakePostgres, version: int) -> None:
    """While it is down every call says so at once; it is read again soon after it is up."""
    server = make_postgres(version)
    async with watching(create_watch_role(server)) as database:
        await database.sample(moment())
        [session, *_] = await database.sessions()
        server.stop()
        await database.sample(moment())
        for _ in range(20):
            assert _unknown(await database.sample(moment())) is TroubleKind.UNREACHABLE
        with pytest.raises(UnavailableError):
            await database.sessions()
        with pytest.raises(UnavailableError):
            await database.alive([session.id], timedelta(0))
        assert await database.terminate([session], timedelta(0)) == (Receipt.UNKNOWN,)
        server.start()
        await sample_until(database, _is_reading)


async def test_reconnecting_backs_off() -> None:
    """A server that hangs up is not asked again with every sample."""
    async with Wire(None) as wire, watching(f"host=127.0.0.1 port={wire.port} user=x dbname=x") as database:
        end = time.monotonic() + 3
        samples = 0
        while time.monotonic() < end:
            assert _unknown(await database.sample(moment())) is TroubleKind.UNREACHABLE
            samples += 1
            await asyncio.sleep(0.01)
    assert samples > 50
    assert 2 <= wire.accepted <= 4  # at once, then after 0.5, 1 and 2 seconds


async def test_starting_up_is_said(make_postgres: MakePostgres) -> None:
    """A server in recovery answers that it is starting; when it is done it is read."""
    server = make_postgres(16)
    dsn = create_watch_role(server)
    server.stop()
    server.settings["hot_standby"] = "off"
    _make_standby(server)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    async with watching(dsn) as database:
        sample = await sample_until(
            database, lambda s: s.trouble is not None and s.trouble.kind is TroubleKind.STARTING
        )
        assert _unknown(sample) is TroubleKind.STARTING
        _promote(server)
        await starting
        await sample_until(database, _is_reading)


async def test_a_standby_says_that_it_is_one(make_postgres: MakePostgres) -> None:
    """It is read like any other, and known to be in recovery."""
    server = make_postgres(16)
    dsn = create_watch_role(server)
    server.stop()
    _make_standby(server)
    server.start()
    async with watching(dsn) as database:
        sample = await database.sample(moment())
    assert sample.trouble is None
    assert sample.server is not None
    assert sample.server.in_recovery


async def test_wrong_password_is_denied(postgres: PostgresServer) -> None:
    """It is not the server that is down."""
    create_watch_role(postgres)
    async with watching(postgres.dsn("remediator", "wrong")) as database:
        assert _unknown(await database.sample(moment())) is TroubleKind.DENIED


@pytest.mark.parametrize("host", ["no-such-host.invalid", "/nowhere"])
async def test_no_such_address(host: str) -> None:
    """A name nobody knows and a socket that is not there are unreachable."""
    async with watching(f"host={host} user=x dbname=x") as database:
        sample = await database.sample(moment())
    assert _unknown(sample) is TroubleKind.UNREACHABLE
    assert sample.trouble is not None
    assert host in sample.trouble.detail


@pytest.mark.parametrize(
    ("hosts", "ports"),
    [
        ("127.0.0.1,localhost", "1,{port}"),
        ("no-such-host.invalid,localhost", "{port}"),
        ("/nowhere,127.0.0.1", "{port},{port}"),
        ("{directory},no-such-host.invalid", "{port}"),
    ],
)
async def test_of_several_hosts_one_that_answers_is_enough(
    hosts: str, ports: str, pg16: PostgresServer
) -> None:
    """Whether the others are down, unknown, or no host at all."""
    create_watch_role(pg16)
    facts = {"port": pg16.port, "directory": pg16.directory}
    where = f"host={hosts.format(**facts)} port={ports.format(**facts)}"
    async with watching(f"{where} user=remediator password='{PASSWORD}' dbname=postgres") as database:
        assert (await database.sample(moment())).trouble is None


@pytest.mark.parametrize(
    ("hosts", "ports"), [("a.invalid,b.invalid", "5432"), ("127.0.0.1,localhost", "1,2,3")]
)
async def test_of_several_hosts_none_is_there(hosts: str, ports: str) -> None:
    """It is trouble, whether nobody knows them or libpq does not understand them."""
    async with watching(f"host={hosts} port={ports} user=x dbname=x") as database:
        assert _unknown(await database.sample(moment())) is TroubleKind.UNREACHABLE


async def test_another_protocol_answers() -> None:
    """What is not PostgreSQL is trouble like any other."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    async with server, watching(f"host=127.0.0.1 port={port} user=x dbname=x") as database:
        assert _unknown(await database.sample(moment())) is TroubleKind.UNREACHABLE
