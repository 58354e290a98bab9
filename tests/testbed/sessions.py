"""Real client sessions: the leaks that remediator is for."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_idle(
    dsn: str, n: int, *, application_name: str = "leaky", in_transaction: bool = False
) -> Iterator[list[int]]:
    """Hold `n` sessions open, each idle after one query.

    Leaving closes those that are left: it is no error when somebody has terminated them meanwhile.

    Args:
        dsn: Where to connect to.
        n: How many sessions.
        application_name: What they call themselves.
        in_transaction: Whether each keeps a transaction open (`idle in transaction`).

    Yields:
        The server's process ids, oldest session first.
    """
    with ExitStack() as stack:
        pids = []
        for _ in range(n):
            session = psycopg.connect(dsn, application_name=application_name, autocommit=not in_transaction)
            # Not the connection's own context manager: that would commit, which fails on a terminated one.
            stack.callback(session.close)
            session.execute("SELECT 1")
            pids.append(session.info.backend_pid)
        yield pids
