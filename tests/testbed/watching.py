"""Watching a real server as the daemon would, and an eye on the event loop meanwhile."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from remediator.adapters.postgres import PostgresDatabase, open_database
from remediator.core.model import Moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import ExitStack

    from remediator.core.model import Sample, Session

OWN_NAME = "remediator"
_LONGEST_STANDSTILL = 0.5


def moment() -> Moment:
    """Read the real clocks."""
    return Moment(datetime.now(UTC), time.monotonic())


@asynccontextmanager
async def watching(
    dsn: str,
    *,
    cutoffs: tuple[timedelta, ...] = (timedelta(milliseconds=100),),
    connect_timeout: float = 10,
    query_timeout: float = 10,
    probe_every: float = 60,
    claims: bool = False,
) -> AsyncIterator[PostgresDatabase]:
    """Give the database behind a DSN; nothing is connected before it is used.

    Args:
        dsn: Where to, password included.
        cutoffs: Idle ages to count sessions by.
        connect_timeout: Seconds for a connection attempt.
        query_timeout: Seconds for one exchange.
        probe_every: Seconds between probes, 0 for none.
        claims: Whether to take the lock that lets one remediator act.
    """
    database = open_database(
        "watched",
        dsn,
        password=None,
        keywords={"application_name": OWN_NAME},
        connect_timeout=timedelta(seconds=connect_timeout),
        query_timeout=timedelta(seconds=query_timeout),
        cutoffs=cutoffs,
        probe_every=timedelta(seconds=probe_every),
        claims=claims,
    )
    try:
        yield database
    finally:
        await database.close()


async def sample_until(
    database: PostgresDatabase, condition: Callable[[Sample], bool], *, within: float = 30
) -> Sample:
    """Sample again and again until one fulfils the condition, and return that one.

    Raises:
        TimeoutError: None did in time.
    """
    async with asyncio.timeout(within):
        while True:
            sample = await database.sample(moment())
            if condition(sample):
                return sample
            await asyncio.sleep(0.05)


async def sessions_of(database: PostgresDatabase, pids: list[int]) -> list[Session]:
    """Read the sessions with these process ids, in this order."""
    found = {session.id.pid: session for session in await database.sessions()}
    return [found[pid] for pid in pids]


async def own_session(database: PostgresDatabase) -> Session:
    """Read the session that the database reads with; that of a probe may still be leaving beside it."""
    [found] = [s for s in await database.sessions() if s.own and s.state == "active"]
    return found


@asynccontextmanager
async def loop_never_stands_still() -> AsyncIterator[None]:
    """Fail when other tasks were kept waiting for long at any time within the block."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    ticker = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticker.cancel()
    assert longest < _LONGEST_STANDSTILL, f"the event loop stood still for {longest:.2f} s"


def no_more_files(stack: ExitStack) -> None:
    """Leave this process without a free file descriptor until the stack is closed."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
