"""Clients that alternate between short statements and short idleness, as a process of their own.

Run as `python -m tests.testbed.flipping DSN CLIENTS SECONDS`; prints as JSON how their sessions ended.
"""

from __future__ import annotations

import json
import random
import select
import sys
import threading
import time
from collections import Counter

import psycopg

# Its first act is to say that it has begun, which the server sends at once.
STATEMENT = "DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(0.05); END $$"
IDLE_SECONDS = (0.05, 0.25)


def _flip(dsn: str, end: float, ends: Counter[str]) -> None:
    while time.monotonic() < end:
        with psycopg.connect(dsn, autocommit=True, application_name="flipping") as connection:
            ends[_until_terminated(connection, end)] += 1


def _until_terminated(connection: psycopg.Connection[tuple[object, ...]], end: float) -> str:
    begun: list[object] = []
    connection.add_notice_handler(begun.append)
    while time.monotonic() < end:
        pause = random.uniform(*IDLE_SECONDS)  # noqa: S311  # not for a secret
        # What the server says unasked is its farewell: nothing was running.
        if select.select([connection], [], [], pause)[0]:
            return "idle"
        begun.clear()
        try:
            connection.execute(STATEMENT)
        except psycopg.OperationalError:
            return "in a statement" if begun else "as a statement was on its way"
    return "at the end"


def main() -> None:
    """Run the clients and report."""
    dsn, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    ends: Counter[str] = Counter()
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=_flip, args=(dsn, end, ends)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
