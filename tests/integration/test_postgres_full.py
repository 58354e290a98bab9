"""A server without a free slot: seen, classed by code, and told from limits that are not the server's."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from remediator.core.guards import spare_session
from remediator.core.model import ProbeResult
from remediator.core.policy import Spare
from remediator.core.trouble import TroubleKind
from remediator.errors import UnavailableError
from tests.testbed.missing import missing
from tests.testbed.pgbinaries import server_environment
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until
from tests.testbed.watching import moment, no_more_files, sample_until, watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from remediator.core.model import Sample
    from tests.conftest import MakePostgres
    from tests.testbed.postgres import PostgresServer

VERSIONS = pytest.mark.parametrize("version", [15, 16, 18])
SHOWS_LOGINS_SINCE = 18
SIZE, USABLE = 8, 5


def _refused(sample: Sample) -> bool:
    return (
        sample.probe is not None
        and sample.probe.result is ProbeResult.REFUSING
        and sample.probe.sqlstate == "53300"
    )


def _accepted(sample: Sample) -> bool:
    return sample.probe is not None and sample.probe.result is ProbeResult.ACCEPTED


@contextmanager
def _filled(server: PostgresServer) -> Iterator[None]:
    """Take every slot that an ordinary role can get; all are free again afterwards."""
    app = create_app_role(server)
    with ExitStack() as stack:
        # The connection that has just made the role may still be leaving.
        wait_until(lambda: not _takes_one(stack, app), what="the server to be full")
        yield
    wait_until(lambda: _has_room(server), what="the clients to leave")


def _takes_one(stack: ExitStack, dsn: str) -> bool:
    try:
        stack.callback(psycopg.connect(dsn).close)
    except psycopg.OperationalError:
        return False
    return True


def _has_room(server: PostgresServer) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
    return server.rows(query) == [(0,)]


async def test_a_server_that_got_full_is_still_the_one_we_know(pg16: PostgresServer) -> None:
    """That it is a standby, say, must not be forgotten with the connection."""
    dsn = create_watch_role(pg16)
    async with watching(dsn) as database:
        known = (await database.sample(moment())).server
        await database.close()
        app = create_app_role(pg16)
        with ExitStack() as stack:
            wait_until(lambda: not _takes_one(stack, app), what="the server to be full")
            sample = await database.sample(moment())
        assert sample.trouble is not None
        assert sample.trouble.kind is TroubleKind.FULL
        assert known is not None
        assert sample.server == known
    wait_until(lambda: _has_room(pg16), what="the clients to leave")


@VERSIONS
async def test_full_at_start_is_refusing(make_postgres: MakePostgres, version: int) -> None:
    """Without a slot for us there is no reading, and the refusal itself is the probe."""
    server = make_postgres(version, max_connections=SIZE)
    async with watching(create_watch_role(server)) as database:
        with _filled(server):
            sample = await sample_until(database, lambda s: s.trouble is not None)
            assert sample.trouble is not None
            assert sample.trouble.kind is TroubleKind.FULL
            assert sample.slots is None
            assert _refused(sample)
            with pytest.raises(UnavailableError):
                await database.sessions()
            for _ in range(5):
                assert _refused(await database.sample(moment()))
        # Neither backoff nor an old refusal stands between a free slot and the next reading.
        sample = await database.sample(moment())
        assert sample.trouble is None
        assert sample.slots is not None
        assert sample.slots.usable == USABLE


async def test_refusal_is_classed_in_any_language(
    make_postgres: MakePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code decides, not the text, which the server may say in German."""
    environment = {**server_environment(), "LANGUAGE": "de"}
    monkeypatch.setattr("tests.testbed.postgres.server_environment", lambda: environment)
    server = make_postgres(15, max_connections=SIZE, lc_messages="C.UTF-8")
    async with watching(create_watch_role(server)) as database:
        with _filled(server):
            sample = await sample_until(database, lambda s: s.trouble is not None)
            assert _refused(sample)
            assert sample.trouble is not None
            if "Verbindung" not in sample.trouble.detail:
                missing("the server has no German messages")
        server.rows("ALTER ROLE remediator CONNECTION LIMIT 0")
        await database.close()
        sample = await database.sample(moment())
        assert sample.trouble is not None
        assert sample.trouble.kind is TroubleKind.DENIED


@pytest.mark.parametrize("version", [16, 18])
async def test_our_reserved_slot_does_not_hide_the_refusal(make_postgres: MakePostgres, version: int) -> None:
    """We get in and read, and still say that clients are refused."""
    server = make_postgres(version, max_connections=SIZE, reserved_connections=2)
    async with watching(create_watch_role(server, reserved=True)) as database:
        with _filled(server):
            sample = await sample_until(database, lambda s: s.slots is not None and not s.slots.free)
            assert sample.trouble is None
            assert sample.slots is not None
            assert sample.slots.usable == SIZE - 3 - 2
            assert sample.probe is not None
            assert sample.probe.result is ProbeResult.REFUSING
            assert (await database.privileges()).reserved_slot
        await sample_until(database, _accepted)


@VERSIONS
async def test_our_own_limit_is_not_a_full_server(make_postgres: MakePostgres, version: int) -> None:
    """A role's CONNECTION LIMIT has the code of a full server, but others still get in."""
    server = make_postgres(version)
    dsn = create_watch_role(server)
    async with watching(dsn) as inside, watching(dsn) as outside:
        await inside.sample(moment())
        server.rows("ALTER ROLE remediator CONNECTION LIMIT 1")
        sample = await outside.sample(moment())
        assert sample.trouble is not None
        assert sample.trouble.kind is TroubleKind.DENIED
        assert sample.probe is not None
        assert sample.probe.result is ProbeResult.UNAVAILABLE
        probe = await inside.probe()
        assert probe.result is ProbeResult.UNAVAILABLE
        assert "remediator" in probe.detail
        assert (await inside.sample(moment())).trouble is None


@VERSIONS
async def test_a_databases_limit_refuses_its_clients(make_postgres: MakePostgres, version: int) -> None:
    """A database's CONNECTION LIMIT refuses everybody who wants in there."""
    server = make_postgres(version)
    dsn = create_watch_role(server)
    server.rows("ALTER DATABASE postgres CONNECTION LIMIT 0")
    async with watching(dsn) as database:
        sample = await database.sample(moment())
    assert sample.trouble is not None
    assert sample.trouble.kind is TroubleKind.FULL
    assert "database" in sample.trouble.detail
    assert _refused(sample)


def _knock(stack: ExitStack, server: PostgresServer) -> bytes:
    """Begin to log in, and leave it at that; return what kind of message came back."""
    client = stack.enter_context(socket.create_connection((server.host, server.port), timeout=10))
    body = struct.pack("!I", 3 << 16) + b"user\0app\0database\0postgres\0\0"
    client.sendall(struct.pack("!I", len(body) + 4) + body)
    return client.recv(1)


@VERSIONS
async def test_half_authenticated_clients_are_seen_by_the_probe(
    make_postgres: MakePostgres, version: int
) -> None:
    """They hold slots that the view does not show before 18; none of them is anything to terminate."""
    server = make_postgres(version, max_connections=SIZE, authentication_timeout="5min")
    with open_idle(create_app_role(server), 1) as pids:
        async with watching(create_watch_role(server), probe_every=0.001) as database:
            assert (await database.sample(moment())).trouble is None
            with ExitStack() as stack:
                wait_until(lambda: _knock(stack, server) == b"E", what="the server to be full")
                sample = await database.sample(moment())
                assert sample.slots is not None
                assert _refused(sample)
                assert (sample.slots.used > USABLE) is (version >= SHOWS_LOGINS_SINCE)
                assert sample.slots.used >= 2
                sessions = await database.sessions()
                spared = [s for s in sessions if spare_session(s, Spare(), timedelta(0))]
                assert [s.id.pid for s in sessions if s not in spared] == pids
            await sample_until(database, _accepted)
        assert server.alive(pids) == set(pids)


async def test_a_limit_of_open_files_is_not_a_full_server(pg16: PostgresServer) -> None:
    """When we have no descriptor left, that is what is said, and nothing about the server."""
    async with watching(create_watch_role(pg16)) as database:
        await database.sample(moment())
        with ExitStack() as stack:
            no_more_files(stack)
            probe = await database.probe()
            assert probe.result is ProbeResult.UNAVAILABLE
            assert "Too many open files" in probe.detail
            assert (await database.sample(moment())).slots is not None
        assert (await database.probe()).result is ProbeResult.ACCEPTED
