"""What a missing right means: never a healthy reading, never an action, never an exception."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from remediator.core.trouble import TroubleKind
from remediator.ports import Receipt
from tests.testbed.roles import RESERVED_SINCE, create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.watching import moment, sample_until, sessions_of, watching

if TYPE_CHECKING:
    from tests.conftest import MakePostgres
    from tests.testbed.postgres import PostgresServer

NOW = timedelta(0)


async def test_unreadable_statistics_at_start_are_trouble(postgres: PostgresServer) -> None:
    """Without `pg_read_all_stats` there is no reading at all, however calm the server looks."""
    dsn = create_watch_role(postgres, stats=False)
    with open_idle(create_app_role(postgres), 3):
        async with watching(dsn) as database:
            for _ in range(3):
                sample = await database.sample(moment())
                assert sample.slots is None
                assert sample.groups == ()
                assert sample.trouble is not None
                assert sample.trouble.kind is TroubleKind.HIDDEN
                assert "pg_read_all_stats" in sample.trouble.detail


async def test_statistics_revoked_while_running_are_trouble_at_once(postgres: PostgresServer) -> None:
    """The very next sample says so, and the first one after the grant is a reading again."""
    dsn = create_watch_role(postgres)
    with open_idle(create_app_role(postgres), 2) as pids:
        async with watching(dsn) as database:
            assert (await database.sample(moment())).trouble is None
            chosen = await sessions_of(database, pids)
            create_watch_role(postgres, stats=False)
            sample = await database.sample(moment())
            assert sample.slots is None
            assert sample.trouble is not None
            assert sample.trouble.kind is TroubleKind.HIDDEN
            assert await database.terminate(chosen, NOW) == (Receipt.CHANGED,) * 2
            ids = [session.id for session in chosen]
            assert await database.alive(ids, NOW) == frozenset(ids)
            assert postgres.alive(pids) == set(pids)
            create_watch_role(postgres)
            assert (await database.sample(moment())).trouble is None


async def test_leaving_workers_are_not_a_missing_right(make_postgres: MakePostgres) -> None:
    """A parallel worker that is just leaving shows no type to anybody; the reading stays good."""
    settings: dict[str, str | int] = {
        "debug_parallel_query": "on",
        "max_worker_processes": 32,
        "max_parallel_workers": 32,
    }
    server = make_postgres(16, **settings)
    app = create_app_role(server)
    done = threading.Event()

    def query_without_pause() -> None:
        with psycopg.connect(app, autocommit=True) as connection:
            while not done.is_set():
                connection.execute("SELECT FROM pg_class LIMIT 1")

    async with watching(create_watch_role(server), probe_every=0) as database:
        with ThreadPoolExecutor(12) as pool, ExitStack() as stack:
            stack.callback(done.set)
            for _ in range(12):
                pool.submit(query_without_pause)
            for _ in range(1500):
                assert (await database.sample(moment())).trouble is None


async def test_without_the_right_to_signal_it_is_said_and_denied(postgres: PostgresServer) -> None:
    """Everything can be read, so that a dry run works, and nothing can be terminated."""
    dsn = create_watch_role(postgres, signal=False)
    with open_idle(create_app_role(postgres), 3) as pids:
        async with watching(dsn) as database:
            sample = await database.sample(moment())
            assert sample.trouble is None
            assert sample.server is not None
            assert not sample.server.can_signal
            assert not (await database.privileges()).signal_backend
            chosen = await sessions_of(database, pids)
            assert await database.terminate(chosen, NOW) == (Receipt.DENIED,) * 3
            assert postgres.alive(pids) == set(pids)
            create_watch_role(postgres)
            sample = await sample_until(database, lambda s: s.server is not None and s.server.can_signal)
            assert sample.trouble is None
            assert await database.terminate(chosen, NOW) == (Receipt.SENT,) * 3


async def test_a_role_that_has_become_superuser_is_spared(postgres: PostgresServer) -> None:
    """Who may be signalled is looked at when it is done, not when it was chosen."""
    create_app_role(postgres, name="rising")
    dsn = create_app_role(postgres, name="rising")
    with open_idle(create_app_role(postgres), 2) as others, open_idle(dsn, 1) as risen:
        async with watching(create_watch_role(postgres)) as database:
            chosen = await sessions_of(database, [others[0], risen[0], others[1]])
            assert not any(session.superuser for session in chosen)
            postgres.rows("ALTER ROLE rising SUPERUSER")
            receipts = await database.terminate(chosen, NOW)
            assert receipts == (Receipt.SENT, Receipt.CHANGED, Receipt.SENT)
            ids = [session.id for session in chosen]
            assert await database.alive([ids[0], ids[2]], timedelta(seconds=10)) == set()
            assert await database.alive(ids, timedelta(seconds=1)) == {chosen[1].id}
    postgres.rows("DROP ROLE rising")


async def test_rights_are_told(postgres: PostgresServer) -> None:
    """`privileges` is what the role was given, no more and no less."""
    modern = postgres.version >= RESERVED_SINCE
    for stats, signal in ((True, False), (False, True)):
        dsn = create_watch_role(postgres, stats=stats, signal=signal, reserved=modern and stats)
        async with watching(dsn) as database:
            privileges = await database.privileges()
        assert (privileges.read_all_stats, privileges.signal_backend) == (stats, signal)
        assert privileges.user == "remediator"
        assert not privileges.superuser
        assert not privileges.reserved_slot  # this server keeps none, whoever may use them
        assert privileges.connection_limit == -1
        assert privileges.server_version.startswith(str(postgres.version))
