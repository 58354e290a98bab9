"""The right to act after our session was lost without the server noticing: taken back from ourselves only."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from remediator.adapters.postgres import queries
from remediator.adapters.postgres.claim import LOCK
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.watching import OWN_NAME, moment, own_session, sample_until, watching
from tests.testbed.wire import Wire

if TYPE_CHECKING:
    from datetime import datetime

    from tests.conftest import MakePostgres
    from tests.testbed.postgres import PostgresServer

# What is not the session that we lost, by what is different about it.
OTHERS = {
    "another of the same pid": {"backend_start": "1 microsecond"},
    "another role's": {"role": "app"},
    "another name": {"name": "psql"},
    "without the lock": {"lock": "SELECT pg_try_advisory_lock(%(lock_class)s, %(lock_object)s + 1)"},
    "with a lock in another database": {"database": "template1"},
}


async def test_what_we_lost_unnoticed_does_not_keep_us_from_acting(postgres: PostgresServer) -> None:
    """The very first reading on the next connection has the right to act; the old session is gone."""
    async with Wire(postgres.port) as wire:
        dsn = create_watch_role(postgres).replace(f":{postgres.port}/", f":{wire.port}/")
        async with watching(dsn, connect_timeout=5, query_timeout=1, claims=True) as database:
            await database.sample(moment())
            assert await database.may_act()
            lost = await own_session(database)
            wire.forget()
            assert (await database.sample(moment())).trouble is not None
            assert postgres.alive([lost.id.pid]), "nobody has told the server"
            back = await sample_until(database, lambda sample: sample.trouble is None)
            assert back.server is not None
            assert not back.server.rival
            assert await database.may_act()
            assert not postgres.alive([lost.id.pid])


async def test_another_remediator_that_took_over_meanwhile_lives(postgres: PostgresServer) -> None:
    """Our lost session was ended by somebody, and the lock has a new holder, of our role and name."""
    dsn = create_watch_role(postgres)
    async with watching(dsn, claims=True) as ours, watching(dsn, claims=True) as theirs:
        await ours.sample(moment())
        lost = await own_session(ours)
        standing_by = (await theirs.sample(moment())).server
        assert standing_by is not None
        assert standing_by.rival
        postgres.rows("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": lost.id.pid})
        await theirs.sample(moment())
        holder = await own_session(theirs)
        for _ in range(3):
            back = await sample_until(ours, lambda sample: sample.trouble is None)
            assert back.server is not None
            assert back.server.rival
        assert await theirs.may_act()
        assert (await own_session(theirs)).id == holder.id


async def test_who_has_the_right_to_act_is_named(postgres: PostgresServer) -> None:
    """Whoever may connect can take the lock: so that it can be ended, its session is told to all who look."""
    watch, app = create_watch_role(postgres), create_app_role(postgres)
    async with watching(watch, claims=True) as ours, watching(watch) as onlooker:
        await onlooker.sample(moment())
        assert await onlooker.holder() is None
        with closing(psycopg.connect(app, application_name="stranger", autocommit=True)) as stranger:
            stranger.execute("SELECT pg_advisory_lock(1919772004, 1)")
            found = (await ours.sample(moment())).server
            assert found is not None
            assert found.rival
            holder = found.holder
            assert holder is not None
            assert (holder.pid, holder.user) == (stranger.info.backend_pid, "app")
            assert (holder.application, holder.address) == ("stranger", "127.0.0.1")
            assert holder.since == _start(postgres, holder.pid, "0")
            assert await onlooker.holder() == holder
            postgres.rows("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": holder.pid})
        after = (await ours.sample(moment())).server
        assert after is not None
        assert (after.rival, after.holder) == (False, None)
        mine = await onlooker.holder()
        assert mine is not None
        assert mine.pid == (await own_session(ours)).id.pid


async def test_a_prepared_transaction_that_has_it_is_said(make_postgres: MakePostgres) -> None:
    """There is no session to end then."""
    server = make_postgres(16)
    server.rows("ALTER SYSTEM SET max_prepared_transactions = 2")
    server.restart()
    with server.superuser() as person:
        person.execute("BEGIN; SELECT pg_advisory_xact_lock(1919772004, 1); PREPARE TRANSACTION 'forgotten'")
    async with watching(create_watch_role(server), claims=True) as ours:
        found = (await ours.sample(moment())).server
        assert found is not None
        assert found.rival
        assert found.holder is not None
        assert "pg_prepared_xacts" in found.holder.text
        server.rows("ROLLBACK PREPARED 'forgotten'")
        after = (await ours.sample(moment())).server
        assert after is not None
        assert not after.rival


@pytest.mark.parametrize("kind", OTHERS)
def test_nobody_elses_session_is_ended(postgres: PostgresServer, kind: str) -> None:
    """It must agree in everything; without the difference it is ended."""
    other, same = OTHERS[kind], dict[str, str]()
    watch, app = create_watch_role(postgres), create_app_role(postgres)
    with psycopg.connect(watch, application_name=OWN_NAME, autocommit=True) as now:
        for difference, ended in ((other, False), (same, True)):
            before = psycopg.connect(
                app if "role" in difference else watch,
                application_name=difference.get("name", OWN_NAME),
                dbname=difference.get("database", "postgres"),
                autocommit=True,
            )
            with before:
                before.execute(difference.get("lock", queries.CLAIM), LOCK)
                pid = before.info.backend_pid
                start = _start(postgres, pid, difference.get("backend_start", "0"))
                found = now.execute(queries.RECLAIM, {"pid": pid, "backend_start": start, **LOCK}).fetchall()
                assert found == ([(True,)] if ended else [])
                assert ended or before.execute("SELECT 1").fetchone()
                before.close()


def _start(server: PostgresServer, pid: int, later: str) -> datetime:
    query = "SELECT backend_start + %(later)s::interval FROM pg_stat_activity WHERE pid = %(pid)s"
    start: datetime = server.rows(query, {"pid": pid, "later": later})[0][0]
    return start
