"""Honest clients that come and go, as a process of their own.

Run as `python -m tests.soak.churn DSN CLIENTS SEED` until SIGTERM. Prints a JSON line for each session that
was ended while it was in a transaction or held an advisory lock: nobody but the server itself may do that.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import threading
import time

import psycopg

APPLICATION = "churn"
_BETWEEN = (0.05, 1.5)
_ENDED_BY_US = "57P01"


class Client:
    """One client: sessions one after the other, each with a few things to do."""

    def __init__(self, dsn: str, chance: random.Random, stop: threading.Event) -> None:
        self._dsn = dsn
        self._chance = chance
        self._stop = stop

    def run(self) -> None:
        """Go on until the end; a server that is away, full or hung is tried again later."""
        while not self._stop.is_set():
            try:
                self._one_session()
            except (psycopg.Error, OSError):
                self._rest()

    def _one_session(self) -> None:
        session = psycopg.connect(
            self._dsn,
            application_name=APPLICATION,
            autocommit=True,
            connect_timeout=3,
            prepare_threshold=None,
        )
        try:
            for _ in range(self._chance.randint(1, 8)):
                act = self._chance.choice((self._query, self._transaction, self._lock, self._listen))
                act(session)
                if self._stop.wait(self._chance.uniform(*_BETWEEN)):
                    return
            if self._chance.random() < 0.3:
                _vanish(session)
        finally:
            session.close()

    def _query(self, session: psycopg.Connection[tuple[object, ...]]) -> None:
        session.execute("SELECT pg_sleep(%s)", [self._chance.uniform(0, 0.2)])

    def _transaction(self, session: psycopg.Connection[tuple[object, ...]]) -> None:
        session.execute("BEGIN")
        self._held(session, "transaction", "SELECT 1", "COMMIT")

    def _lock(self, session: psycopg.Connection[tuple[object, ...]]) -> None:
        key = self._chance.randrange(1_000_000)
        session.execute("SELECT pg_advisory_lock(%s)", [key])
        self._held(session, "advisory_lock", "SELECT 1", f"SELECT pg_advisory_unlock({key})")

    def _listen(self, session: psycopg.Connection[tuple[object, ...]]) -> None:
        session.execute("LISTEN churn")
        self._held(session, "listening", "LISTEN churn", "UNLISTEN *")

    def _held(self, session: psycopg.Connection[tuple[object, ...]], what: str, *statements: str) -> None:
        """Do nothing for a while in a state in which a session is spared, and say so if it was ended."""
        pid = session.info.backend_pid
        try:
            for statement in statements:
                self._rest()
                session.execute(statement)
        except psycopg.Error as error:
            lost = {"pid": pid, "what": what, "at": time.time(), "error": " ".join(str(error).split())}
            if error.sqlstate == _ENDED_BY_US:
                print(json.dumps(lost), flush=True)
            raise

    def _rest(self) -> None:
        self._stop.wait(self._chance.uniform(*_BETWEEN))


def _vanish(session: psycopg.Connection[tuple[object, ...]]) -> None:
    """Leave without a word, as a crashed client does."""
    borrowed = socket.socket(fileno=os.dup(session.fileno()))
    with borrowed:
        borrowed.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Run the clients until SIGTERM."""
    dsn, clients, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threads = [
        threading.Thread(target=Client(dsn, random.Random(f"{seed}/{n}"), stop).run, daemon=True)  # noqa: S311
        for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join(5)


if __name__ == "__main__":
    main()
