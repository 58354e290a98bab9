"""A service's worker process with a connection leak: real sessions, opened and never given back.

`python -m remediator.demo.worker APPLICATION DSN LIMIT RATE RATE_ONCE_REFUSED`
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from remediator.demo.sessions import Session, open_session

_WORK_EVERY = 0.5
_HARMLESS_FOR = 2.5


@dataclass(frozen=True, slots=True)
class Leak:
    """How a worker leaks.

    Attributes:
        limit: How many sessions it leaks at most.
        rate: How many a second.
        rate_once_refused: How many a second after the server has refused one: every task is tried
            again and again then, which is how a leak becomes a storm.
    """

    limit: int
    rate: float
    rate_once_refused: float

    def arguments(self) -> list[str]:
        """The leak as the worker's arguments."""
        return [str(self.limit), str(self.rate), str(self.rate_once_refused)]


NO_LEAK = Leak(0, 1.0, 1.0)


class Worker:
    """Works on one session and leaks others."""

    def __init__(self, application: str, dsn: str, leak: Leak) -> None:
        self._application = application
        self._dsn = dsn
        self._leak = leak
        self._leaked: list[Session] = []
        self._rate = leak.rate
        self._own: Session | None = None

    def run(self) -> None:
        """Work and leak until killed, or until the server ends the session that does the work."""
        work_at = time.monotonic()
        leak_at = work_at + _HARMLESS_FOR
        while True:
            now = time.monotonic()
            if now >= work_at:
                self._work()
                work_at = now + _WORK_EVERY
            if now >= leak_at and len(self._leaked) < self._leak.limit:
                self._leak_one()
                leak_at = max(leak_at + 1 / self._rate, now)
            time.sleep(0.01)

    def _work(self) -> None:
        if self._own is None:
            self._own = open_session(self._dsn, self._application)
        else:
            self._own.execute("select 1")

    def _leak_one(self) -> None:
        session = open_session(self._dsn, self._application)
        if session is None:
            self._rate = self._leak.rate_once_refused
        else:
            self._leaked.append(session)


def main() -> None:
    """Run the worker that the command line describes."""
    application, dsn, limit, rate, rate_once_refused = sys.argv[1:]
    Worker(application, dsn, Leak(int(limit), float(rate), float(rate_once_refused))).run()


if __name__ == "__main__":
    main()
