"""A thousand victims guarded one by one, beside one bare batch statement."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import psycopg

from benchmarks.figures import heading, line, middle
from remediator.adapters.postgres import PostgresDatabase, open_database
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

VICTIMS = 1000
ROUNDS = 3
SECOND = timedelta(seconds=1)


def run() -> None:
    """Measure and print."""
    settings: dict[str, str | int] = {"max_connections": VICTIMS + 20}
    with PostgresServer(16, postgres_binaries()[16], settings) as server:
        watch, app = create_watch_role(server), create_app_role(server)
        guarded, bare = [], []
        for _ in range(ROUNDS):
            with open_idle(app, VICTIMS):
                guarded.append(asyncio.run(_guarded(watch)))
            with open_idle(app, VICTIMS):
                bare.append(_bare(watch))
    heading(f"{VICTIMS} idle sessions until the last one is gone, median of {ROUNDS}")
    line("guarded one by one", f"{middle(guarded):.2f} s")
    line("one bare batch statement", f"{middle(bare):.2f} s")
    ratios = [a / b for a, b in zip(guarded, bare, strict=True)]
    line("guarded / bare, pair by pair", f"{middle(ratios):.2f} x", "<= 2 x")


async def _guarded(dsn: str) -> float:
    database: PostgresDatabase = open_database(
        "web",
        dsn,
        password=None,
        keywords={"application_name": "remediator"},
        connect_timeout=timedelta(seconds=30),
        query_timeout=timedelta(seconds=30),
        cutoffs=(SECOND,),
        probe_every=timedelta(0),
    )
    await asyncio.sleep(SECOND.total_seconds())
    begun = time.perf_counter()
    victims = [s for s in await database.sessions() if not s.own]
    assert len(victims) == VICTIMS
    await database.terminate(victims, SECOND)
    left = await database.alive([v.id for v in victims], timedelta(seconds=60))
    took = time.perf_counter() - begun
    assert not left
    await database.close()
    return took


def _bare(dsn: str) -> float:
    time.sleep(SECOND.total_seconds())
    others = "from pg_stat_activity where usename = 'app'"
    with psycopg.connect(dsn, autocommit=True) as connection:
        begun = time.perf_counter()
        connection.execute(f"select pg_terminate_backend(pid) {others} and state = 'idle'")
        while connection.execute(f"select count(*) {others}").fetchone() != (0,):
            time.sleep(0.05)
        return time.perf_counter() - begun
