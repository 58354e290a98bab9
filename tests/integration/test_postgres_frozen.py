"""Servers and networks that stop in their tracks: every call ends at its deadline, and nobody else waits."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from remediator.core.model import (
    ProbeResult,
    SessionId,
)
from remediator.core.trouble import TroubleKind
from remediator.errors import UnavailableError
from remediator.ports import Receipt
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.watching import (
    loop_never_stands_still,
    moment,
    no_more_files,
    own_session,
    sample_until,
    sessions_of,
    watching,
)
from tests.testbed.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from remediator.adapters.postgres import PostgresDatabase
    from remediator.core.model import Sample
    from tests.conftest import MakePostgres
    from tests.testbed.postgres import PostgresServer

CONNECT, QUERY, SLACK = 1.0, 0.5, 2.0
READY = b"Z\0\0\0\5I"  # ReadyForQuery, the last message of a login


def _kind(sample: Sample) -> TroubleKind | None:
    return sample.trouble.kind if sample.trouble else None


@asynccontextmanager
async def _over_within(seconds: float) -> AsyncIterator[None]:
    """Fail when the block takes longer, give or take, or keeps other tasks waiting meanwhile."""
    begun = time.monotonic()
    async with loop_never_stands_still():
        yield
    assert time.monotonic() - begun < seconds + SLACK


async def _sample(database: PostgresDatabase) -> None:
    assert _kind(await database.sample(moment())) is TroubleKind.TIMEOUT


async def _sessions(database: PostgresDatabase) -> None:
    with pytest.raises(UnavailableError, match="no answer"):
        await database.sessions()


async def _alive(database: PostgresDatabase) -> None:
    with pytest.raises(UnavailableError, match="no answer"):
        await database.alive([SessionId(1, moment().at)], timedelta(minutes=1))


async def _privileges(database: PostgresDatabase) -> None:
    with pytest.raises(UnavailableError, match="no answer"):
        await database.privileges()


@pytest.mark.parametrize("call", [_sample, _sessions, _alive, _privileges])
async def test_our_backend_is_frozen(
    postgres: PostgresServer, call: Callable[[PostgresDatabase], Awaitable[None]]
) -> None:
    """The call ends at the query timeout; the next sample has a new session, thawed or not."""
    dsn = create_watch_role(postgres)
    async with watching(dsn, connect_timeout=CONNECT, query_timeout=QUERY) as database:
        await database.sample(moment())
        postgres.freeze_backend((await own_session(database)).id.pid)
        try:
            async with _over_within(QUERY):
                await call(database)
            await sample_until(database, lambda s: s.trouble is None)
        finally:
            postgres.thaw()


async def test_our_backend_is_frozen_while_terminating(postgres: PostgresServer) -> None:
    """Nothing is known of any of them, until somebody looks."""
    with open_idle(create_app_role(postgres), 3) as pids:
        async with watching(create_watch_role(postgres), query_timeout=QUERY) as database:
            chosen = await sessions_of(database, pids)
            postgres.freeze_backend((await own_session(database)).id.pid)
            try:
                async with _over_within(QUERY):
                    receipts = await database.terminate(chosen, timedelta(0))
            finally:
                postgres.thaw()
            assert receipts == (Receipt.UNKNOWN,) * 3
            assert postgres.alive(pids[1:]) == set(pids[1:])


async def test_a_deadline_needs_no_file(postgres: PostgresServer) -> None:
    """A process that has run out of descriptors gets its answer in time all the same."""
    async with watching(create_watch_role(postgres), query_timeout=QUERY) as database:
        postgres.freeze_backend((await own_session(database)).id.pid)
        try:
            with ExitStack() as stack:
                no_more_files(stack)
                async with _over_within(QUERY):
                    await _sample(database)
        finally:
            postgres.thaw()


@pytest.mark.parametrize("version", [15, 16, 18])
async def test_the_postmaster_is_frozen(make_postgres: MakePostgres, version: int) -> None:
    """An open session goes on reading while the probe gets no answer; without one nothing is known."""
    server = make_postgres(version)
    dsn = create_watch_role(server)
    impatient = partial(watching, connect_timeout=CONNECT, query_timeout=QUERY, probe_every=0.001)
    async with impatient(dsn) as inside, impatient(dsn) as outside:
        await inside.sample(moment())
        server.freeze()
        for _ in range(2):
            async with _over_within(QUERY + CONNECT):
                sample = await inside.sample(moment())
            assert sample.trouble is None
            assert sample.slots is not None
            assert sample.probe is not None
            assert sample.probe.result is ProbeResult.UNAVAILABLE
        async with _over_within(CONNECT):
            await _sample(outside)
        server.freeze_backend((await own_session(inside)).id.pid)
        for _ in range(3):
            async with _over_within(QUERY + CONNECT):
                await _sample(inside)
        server.thaw()
        for database in (inside, outside):
            await sample_until(database, _is_good)


def _is_good(sample: Sample) -> bool:
    return sample.trouble is None and sample.probe is not None and sample.probe.result is ProbeResult.ACCEPTED


async def test_a_black_hole_at_the_address() -> None:
    """A socket that takes connections and never answers costs a connect timeout, no more."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        dsn = f"host=127.0.0.1 port={hole.getsockname()[1]} user=x dbname=x"
        async with watching(dsn, connect_timeout=CONNECT) as database:
            async with _over_within(CONNECT):
                await _sample(database)
            async with _over_within(CONNECT):
                with pytest.raises(UnavailableError, match="no answer"):
                    await database.sessions()


async def test_a_wire_that_goes_dead(pg16: PostgresServer) -> None:
    """The network swallows everything in the middle of a conversation, and later it does not."""
    async with Wire(pg16.port) as wire:
        dsn = create_watch_role(pg16).replace(f":{pg16.port}/", f":{wire.port}/")
        async with watching(dsn, connect_timeout=CONNECT, query_timeout=QUERY) as database:
            assert (await database.sample(moment())).trouble is None
            wire.open.clear()
            for _ in range(3):
                async with _over_within(max(QUERY, CONNECT)):
                    await _sample(database)
            wire.open.set()
            await sample_until(database, _is_good)


async def test_a_wire_that_is_very_slow(pg16: PostgresServer) -> None:
    """An answer that trickles in byte by byte does not push the deadline back."""
    async with Wire(pg16.port) as wire:
        dsn = create_watch_role(pg16).replace(f":{pg16.port}/", f":{wire.port}/")
        async with watching(dsn, connect_timeout=CONNECT, query_timeout=QUERY) as database:
            assert (await database.sample(moment())).trouble is None
            wire.delay = 0.02
            for _ in range(3):
                async with _over_within(max(QUERY, CONNECT)):
                    await _sample(database)
            wire.delay = 0
            await sample_until(database, _is_good)


async def test_the_wire_dies_while_we_settle_in(pg16: PostgresServer) -> None:
    """A connection that is made and then goes silent is a time-out too, and is left behind by nobody."""
    async with Wire(pg16.port) as wire:
        dsn = create_watch_role(pg16).replace(f":{pg16.port}/", f":{wire.port}/")
        async with watching(dsn, connect_timeout=10, query_timeout=QUERY) as database:
            wire.until = READY
            async with _over_within(QUERY):
                await _sample(database)


async def test_a_frozen_session_is_not_confirmed(postgres: PostgresServer) -> None:
    """It was told to go and is still there: said so within the patience, and gone once it can be."""
    with open_idle(create_app_role(postgres), 2) as pids:
        async with watching(create_watch_role(postgres)) as database:
            chosen = await sessions_of(database, pids)
            postgres.freeze_backend(pids[0])
            try:
                assert await database.terminate(chosen, timedelta(0)) == (Receipt.SENT,) * 2
                ids = [session.id for session in chosen]
                async with _over_within(1):
                    assert await database.alive(ids, timedelta(seconds=1)) == {ids[0]}
            finally:
                postgres.thaw()
            assert await database.alive(ids, timedelta(seconds=10)) == frozenset()
