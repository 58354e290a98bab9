"""Sessions that must live, as real ones: their facts are read right, and the guards spare them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest

from remediator.core.guards import spare_session
from remediator.core.model import IDLE, Session
from remediator.core.plan import Objection
from remediator.core.policy import Spare
from remediator.ports import Receipt
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.watching import moment, own_session, sessions_of, watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakePostgres
    from tests.testbed.postgres import PostgresServer

NOW = timedelta(0)
PATIENCE = timedelta(seconds=20)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes connections after the test."""
    with ExitStack() as stack:
        yield stack


def _connect(opened: ExitStack, dsn: str, **keywords: str) -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(dsn, autocommit=True, **keywords)  # type: ignore[arg-type]  # libpq keywords
    opened.callback(connection.close)
    return connection


async def _read(server: PostgresServer, pid: int) -> Session:
    async with watching(create_watch_role(server)) as database:
        [session] = await sessions_of(database, [pid])
    return session


def _objections(session: Session) -> tuple[Objection, ...]:
    return spare_session(session, Spare(), NOW)


async def test_a_plain_idle_session_is_spared_by_nothing(postgres: PostgresServer, opened: ExitStack) -> None:
    """The facts of an ordinary leak, so that the rules below are known to be what spares the others."""
    connection = _connect(opened, create_app_role(postgres), application_name="leaky")
    connection.execute("SELECT 1")
    session = await _read(postgres, connection.info.backend_pid)
    assert (session.user, session.database, session.application) == ("app", "postgres", "leaky")
    assert (session.address, session.backend_type, session.state) == ("127.0.0.1", "client backend", IDLE)
    assert session.state_change is not None
    assert session.idle_for > 0
    assert _objections(session) == ()


async def test_ages_that_change_while_the_server_answers_make_no_session_older(
    postgres: PostgresServer, opened: ExitStack
) -> None:
    """A reload in the middle of a reading does not pass off what was counted by the old ages."""
    _connect(opened, create_app_role(postgres), application_name="leaky")
    async with watching(create_watch_role(postgres)) as database:
        database.count_by([timedelta(microseconds=1)])
        await database.sample(moment())  # connected: the next one is on the wire as soon as it begins
        reading = asyncio.create_task(database.sample(moment()))
        await asyncio.sleep(0)
        database.count_by([timedelta(hours=1)])
        sample = await reading
    assert sample.slots is not None
    assert sample.idle_older_than(timedelta(microseconds=1)) >= 1
    assert sample.idle_older_than(timedelta(hours=1)) == 0


async def test_a_session_that_was_never_used_is_idle(postgres: PostgresServer, opened: ExitStack) -> None:
    """Its age counts from when it was opened."""
    connection = _connect(opened, create_app_role(postgres))
    assert _objections(await _read(postgres, connection.info.backend_pid)) == ()


@pytest.mark.parametrize("protocol", ["simple", "extended", "pipeline"])
async def test_a_session_is_used_once_it_was_tested_with_an_empty_statement(
    postgres: PostgresServer, opened: ExitStack, protocol: str
) -> None:
    """Whichever way it is sent, the server has kept no text of it, yet when it began."""
    connection = _connect(opened, create_app_role(postgres))
    assert (await _read(postgres, connection.info.backend_pid)).unused
    connection.execute("SELECT 1")
    if protocol == "simple":
        connection.pgconn.exec_(b"")
    elif protocol == "extended":
        connection.pgconn.exec_params(b"", [])
    else:
        with connection.pipeline():
            connection.execute("")
    assert not (await _read(postgres, connection.info.backend_pid)).unused


@pytest.mark.parametrize(
    "statement",
    [
        "LISTEN news",
        "listen news",
        "/* jobs */ LISTEN news",
        "-- jobs\nLISTEN news",
        "LISTEN news; LISTEN other",
        'SELECT 1; LISTEN "news"',
    ],
)
async def test_listeners_are_spared(
    postgres: PostgresServer, opened: ExitStack, statement: LiteralString
) -> None:
    """However it is written, `LISTEN` is recognised."""
    connection = _connect(opened, create_app_role(postgres))
    connection.execute(statement)
    session = await _read(postgres, connection.info.backend_pid)
    assert session.listening
    assert _objections(session) == (Objection.LISTENING,)


async def test_a_prepared_listen_is_spared(postgres: PostgresServer, opened: ExitStack) -> None:
    """The extended protocol makes no difference."""
    connection = _connect(opened, create_app_role(postgres))
    connection.execute("LISTEN news", prepare=True)
    assert _objections(await _read(postgres, connection.info.backend_pid)) == (Objection.LISTENING,)


@pytest.mark.parametrize("statement", ["UNLISTEN *", "SELECT 'listener'", "SELECT 1 AS listened"])
async def test_who_does_not_listen_is_not_spared_for_it(
    postgres: PostgresServer, opened: ExitStack, statement: LiteralString
) -> None:
    """Words that only contain it are something else."""
    connection = _connect(opened, create_app_role(postgres))
    connection.execute(statement)
    assert not (await _read(postgres, connection.info.backend_pid)).listening


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_lock_shared(1)",
        "SELECT pg_try_advisory_lock(1, 2)",
    ],
)
async def test_advisory_locks_are_spared(postgres: PostgresServer, statement: LiteralString) -> None:
    """Whoever holds one between statements is at work, whatever was run since, in whichever database."""
    postgres.rows("DROP DATABASE IF EXISTS elsewhere WITH (FORCE)")
    postgres.rows("CREATE DATABASE elsewhere")
    dsn = create_app_role(postgres).replace("/postgres", "/elsewhere")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)
        connection.execute("SELECT 1")
        session = await _read(postgres, connection.info.backend_pid)
        assert session.database == "elsewhere"
        assert _objections(session) == (Objection.ADVISORY_LOCK,)
        connection.execute("SELECT pg_advisory_unlock_all()")
        assert _objections(await _read(postgres, connection.info.backend_pid)) == ()


async def test_open_transactions_are_spared(postgres: PostgresServer) -> None:
    """Also one that wrote nothing, and one that failed and waits for its rollback."""
    app = create_app_role(postgres)
    with open_idle(app, 1, in_transaction=True) as pids:
        session = await _read(postgres, pids[0])
        assert session.in_transaction
        assert Objection.IN_TRANSACTION in _objections(session)
    with psycopg.connect(app) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        session = await _read(postgres, connection.info.backend_pid)
        assert session.state == "idle in transaction (aborted)"
        assert Objection.IN_TRANSACTION in _objections(session)
        connection.rollback()


async def test_replication_is_spared(postgres: PostgresServer, opened: ExitStack) -> None:
    """A walsender is no client session: it is not counted among the slots, and not terminated."""
    postgres.rows("DROP ROLE IF EXISTS replica")
    dsn = create_app_role(postgres, name="replica")
    postgres.rows("ALTER ROLE replica REPLICATION")
    async with watching(create_watch_role(postgres), probe_every=0) as database:
        before = (await database.sample(moment())).slots
        connection = _connect(opened, dsn, replication="database", application_name="pg_receivewal")
        connection.execute("IDENTIFY_SYSTEM")
        after = (await database.sample(moment())).slots
        assert before is not None
        assert after is not None
        [session] = await sessions_of(database, [connection.info.backend_pid])
        assert session.backend_type == "walsender"
        assert Objection.NOT_CLIENT in _objections(session)
        assert await database.terminate([session], NOW) == (Receipt.CHANGED,)
    connection.execute("IDENTIFY_SYSTEM")


async def test_hidden_activity_is_spared(postgres: PostgresServer, opened: ExitStack) -> None:
    """With `track_activities` off nobody knows what a session does."""
    dsn = create_app_role(postgres, name="secretive")
    postgres.rows("ALTER ROLE secretive SET track_activities = off")
    connection = _connect(opened, dsn)
    connection.execute("SELECT 1")
    async with watching(create_watch_role(postgres)) as database:
        [session] = await sessions_of(database, [connection.info.backend_pid])
        assert session.state == "disabled"
        assert _objections(session) == (Objection.ACTIVE,)
        assert await database.terminate([session], NOW) == (Receipt.CHANGED,)
    connection.execute("SELECT 1")


async def test_superusers_and_we_ourselves_are_spared(postgres: PostgresServer, opened: ExitStack) -> None:
    """Another connection of ours, such as a probe's, is ours too."""
    superuser = _connect(opened, postgres.dsn())
    dsn = create_watch_role(postgres)
    other = _connect(opened, dsn, application_name="remediator")
    async with watching(dsn) as database:
        own = await own_session(database)
        assert Objection.OWN_SESSION in _objections(own)
        pids = [superuser.info.backend_pid, other.info.backend_pid]
        by_pid = await sessions_of(database, pids)
        assert [_objections(session) for session in by_pid] == [
            (Objection.SUPERUSER,),
            (Objection.OWN_SESSION,),
        ]


async def test_a_prepared_transaction_outlives_its_session(
    make_postgres: MakePostgres, opened: ExitStack
) -> None:
    """Who has prepared one is plainly idle, and nothing is lost with the session."""
    server = make_postgres(16, max_prepared_transactions=2)
    app = create_app_role(server)
    server.rows("CREATE TABLE kept (id int)")
    server.rows("GRANT ALL ON kept TO app")
    connection = _connect(opened, app)
    connection.execute("BEGIN")
    connection.execute("INSERT INTO kept VALUES (1)")
    connection.execute("PREPARE TRANSACTION 'held'")
    async with watching(create_watch_role(server)) as database:
        [session] = await sessions_of(database, [connection.info.backend_pid])
        assert _objections(session) == ()
        assert await database.terminate([session], NOW) == (Receipt.SENT,)
        assert await database.alive([session.id], PATIENCE) == frozenset()
    with psycopg.connect(app, autocommit=True) as again:
        again.execute("COMMIT PREPARED 'held'")
    assert server.rows("SELECT id FROM kept") == [(1,)]


async def test_hundreds_of_idle_sessions_are_terminated(make_postgres: MakePostgres) -> None:
    """All of them, in one batch, and nobody else."""
    server = make_postgres(16, max_connections=300)
    app = create_app_role(server)
    with open_idle(app, 250) as pids, open_idle(app, 3, in_transaction=True) as busy:
        async with watching(create_watch_role(server)) as database:
            found = await database.sessions()
            chosen = [session for session in found if not _objections(session)]
            assert {session.id.pid for session in chosen} == set(pids)
            assert await database.terminate(chosen, NOW) == (Receipt.SENT,) * 250
            assert await database.alive([session.id for session in chosen], PATIENCE) == frozenset()
        assert server.alive(pids) == set()
        assert server.alive(busy) == set(busy)


async def test_probes_leave_no_connection_behind(postgres: PostgresServer) -> None:
    """After many samples, each with a probe, ours is the only session of ours."""
    async with watching(create_watch_role(postgres), probe_every=0.0001) as database:
        for _ in range(20):
            sample = await database.sample(moment())
            assert sample.probe is not None
        own = [session.id for session in await database.sessions() if session.own]
        keeper = (await own_session(database)).id
        assert await database.alive(own, timedelta(seconds=1)) == {keeper}
