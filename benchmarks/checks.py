"""The cost of one check: the whole cycle, beside the bare query and a psql process."""

from __future__ import annotations

import asyncio
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Spent, heading, line, middle, milliseconds, spending
from remediator import log
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger
from remediator.adapters.postgres import PostgresDatabase, open_database, queries
from remediator.app import make_cycles
from remediator.config import load
from remediator.core.model import Mode
from remediator.world import make_world
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

SESSIONS = 60
CHECKS = 1000
PROCESSES = 30
ROUNDS = 3


def run() -> None:
    """Measure and print."""
    binaries = postgres_binaries()
    with PostgresServer(16, binaries[16], {"max_connections": 100}) as server:
        watch = create_watch_role(server)
        with open_idle(create_app_role(server), SESSIONS), TemporaryDirectory() as directory:
            asyncio.run(_measure(watch, Path(directory), binaries[15] / "psql"))


async def _measure(dsn: str, directory: Path, psql: Path) -> None:
    heading(f"One check, {SESSIONS} sessions, median of {ROUNDS} rounds of {CHECKS}")
    whole, bare = [], []
    for _ in range(ROUNDS):  # in turn, so that a slow moment of the machine hits both
        whole.append(await _cycles(dsn, directory))
        bare.append(await _bare(dsn))
    process = _psql(dsn, psql)
    probe = await _probes(dsn)
    cpu = middle([spent.cpu for spent in whole]) / CHECKS
    line("cycle (sample, assess, log line): CPU", milliseconds(cpu), "<= 1 ms")
    line("cycle: wall", milliseconds(middle([spent.wall for spent in whole]) / CHECKS))
    line("bare aggregate query in a loop: CPU", milliseconds(middle([s.cpu for s in bare]) / CHECKS))
    line("bare aggregate query: wall", milliseconds(middle([s.wall for s in bare]) / CHECKS))
    line("process of Debian's psql per check: CPU", milliseconds(process.cpu / PROCESSES))
    line("psql CPU / cycle CPU", f"{process.cpu / PROCESSES / cpu:.1f} x", ">= 20 x")
    line("connect probe, at most every 15 s while accepted: CPU", milliseconds(probe.cpu / PROCESSES))


async def _cycles(dsn: str, directory: Path) -> Spent:
    config = directory / "config.yaml"
    config.write_text(
        f"version: 1\nstate_dir: {directory}\n"
        f"databases: [{{name: web, dsn: '{dsn}', connect: {{probe_every: 0s}}}}]\n"
    )
    config.chmod(0o600)
    settings = load(config, os.environ)
    world = make_world(settings, Mode.DRY_RUN)
    store = SqliteLedger(directory, Mode.DRY_RUN)
    clock = SystemClock()
    with open(os.devnull, "w") as sink:  # noqa: ASYNC230, PTH123  set-up, nothing waits
        log.configure("json", stream=sink)
        (cycle,) = make_cycles(
            settings, Mode.DRY_RUN, world, store=store, observer=log.LogObserver(), clock=clock
        )
        await cycle.run(clock.now())
        with spending() as spent:
            for _ in range(CHECKS):
                await cycle.run(clock.now())
    await world.close()
    await store.close()
    return spent


def _database(dsn: str) -> PostgresDatabase:
    return open_database(
        "web",
        dsn,
        password=None,
        keywords={},
        connect_timeout=timedelta(seconds=5),
        query_timeout=timedelta(seconds=5),
        cutoffs=(timedelta(minutes=10),),
        probe_every=timedelta(0),
    )


async def _bare(dsn: str) -> Spent:
    connection = _database(dsn).connection
    await connection.fetch(queries.SAMPLE, {"cutoffs": [600.0]})
    with spending() as spent:
        for _ in range(CHECKS):
            await connection.fetch(queries.SAMPLE, {"cutoffs": [600.0]})
    await connection.close()
    return spent


def _psql(dsn: str, psql: Path) -> Spent:
    query = "select state, count(*) from pg_stat_activity group by state"
    with spending(children=True) as spent:
        for _ in range(PROCESSES):
            subprocess.run([psql, dsn, "-XAtc", query], check=True, capture_output=True)
    return spent


async def _probes(dsn: str) -> Spent:
    database = _database(dsn)
    with spending() as spent:
        for _ in range(PROCESSES):
            await database.probe()
    return spent
