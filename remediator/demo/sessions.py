"""The demo's own sessions on its server: the superuser that looks on, and the applications' clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

Session = psycopg.Connection[tuple[Any, ...]]
"""One session of an application, in autocommit mode."""

_LOOK = """
    select pid, backend_start, application_name, coalesce(state, '')
    from pg_stat_activity where backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One session that takes a slot."""

    pid: int
    started: datetime
    application: str
    state: str


@dataclass(frozen=True, slots=True)
class Look:
    """Every session that takes a slot, read at one moment."""

    sessions: tuple[Seen, ...] = ()

    @property
    def used(self) -> int:
        """How many slots are taken."""
        return len(self.sessions)

    def by_application(self) -> Mapping[str, Counter[str]]:
        """Count sessions by application and state."""
        counted: dict[str, Counter[str]] = {}
        for session in self.sessions:
            counted.setdefault(session.application, Counter())[session.state] += 1
        return counted

    def of(self, applications: Sequence[str]) -> frozenset[tuple[int, datetime]]:
        """What identifies these applications' sessions."""
        return frozenset((s.pid, s.started) for s in self.sessions if s.application in applications)


class Onlooker:
    """A superuser's session over the Unix socket: sets the server up, then watches with its own eyes."""

    def __init__(self, socket_dir: Path, port: int, application: str) -> None:
        self._session = psycopg.connect(
            host=str(socket_dir),
            port=port,
            user="postgres",
            dbname="postgres",
            application_name=application,
            autocommit=True,
        )

    def create_role(self, name: str, password: str, rights: Sequence[str]) -> None:
        """Create a role that may log in and is a member of these others."""
        role = sql.Identifier(name)
        self._session.execute(sql.SQL("create role {} login password {}").format(role, sql.Literal(password)))
        for right in rights:
            self._session.execute(sql.SQL("grant {} to {}").format(sql.Identifier(right), role))

    def look(self) -> Look:
        """Read who takes the slots."""
        return Look(tuple(Seen(*row) for row in self._session.execute(_LOOK).fetchall()))

    def close(self) -> None:
        """Leave."""
        self._session.close()


def open_session(dsn: str, application: str, first: LiteralString = "select 1") -> Session | None:
    """Open an application's session and run one statement in it; None when the server refuses.

    Raises:
        psycopg.Error: The statement failed.
    """
    try:
        session = psycopg.connect(dsn, application_name=application, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        return None
    session.execute(first)
    return session


def begin_query(session: Session, query: LiteralString) -> None:
    """Send a query and do not wait for its answer."""
    session.pgconn.send_query(query.encode())
