"""The worlds that the contract of `Database` is tried in: one in memory, one on real servers."""

from __future__ import annotations

import os
import socket
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from remediator.adapters.postgres import PostgresDatabase, open_database
from remediator.core.model import Moment
from remediator.testing.claim import FakeClaim
from remediator.testing.clock import FakeClock
from remediator.testing.database import FakeDatabase
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from remediator.ports import Database
    from remediator.testing.session import FakeSession
    from tests.testbed.postgres import PostgresServer

SHORT, LONG = timedelta(milliseconds=200), timedelta(hours=1)
CUTOFFS = (SHORT, LONG)
MAX_CONNECTIONS, SUPERUSER_RESERVED = 20, 3


class Client(ABC):
    """A client with one session."""

    pid: int

    @abstractmethod
    def query(self) -> None:
        """Run a statement to its end."""

    @abstractmethod
    def ping(self) -> None:
        """Send a statement with nothing in it, as pools do to test a connection."""

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction and idle in it."""

    @abstractmethod
    def lock(self) -> None:
        """Take an advisory lock and idle."""

    @abstractmethod
    def listen(self) -> None:
        """Run `LISTEN` and idle."""

    @abstractmethod
    def leave(self) -> None:
        """End the session from this side."""

    @abstractmethod
    def vanish(self) -> None:
        """End without a word to the server, as a process does that is killed."""

    @abstractmethod
    def be_killed(self) -> None:
        """Be ended by an operator."""

    @abstractmethod
    def lives(self) -> bool:
        """Whether the server still has this very session."""


class World(ABC):
    """A server with settings known to the contract, and the `Database` that watches it."""

    database: Database
    reserved: int

    @abstractmethod
    def moment(self) -> Moment:
        """Read the clock."""

    @abstractmethod
    def open(self, application: str = "leaky", *, superuser: bool = False, unused: bool = False) -> Client:
        """Let a client open a session, idle from now on, after a statement unless it is to be unused."""

    @abstractmethod
    def rival(self) -> bool:
        """Let another remediator try to take the right to act; tell whether it has it."""

    @abstractmethod
    def rival_leaves(self) -> None:
        """Let the other remediator's session end."""

    @abstractmethod
    def age(self) -> None:
        """Let more time pass than the short cutoff."""

    @abstractmethod
    def restart(self) -> None:
        """Restart the server: none of its sessions is left."""

    @abstractmethod
    def grant(self, *, stats: bool = True, signal: bool = True) -> None:
        """Set the rights of the role that watches."""


class FakeWorld(World):
    """In memory, in virtual time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reserved = 2
        self.server = FakeDatabase(
            self.clock,
            max_connections=MAX_CONNECTIONS,
            superuser_reserved=SUPERUSER_RESERVED,
            reserved=self.reserved,
            cutoffs=CUTOFFS,
            claim=FakeClaim(wanted=True),
        )
        self.database: Database = self.server

    def moment(self) -> Moment:
        """Read the virtual clock."""
        return self.clock.now()

    def open(self, application: str = "leaky", *, superuser: bool = False, unused: bool = False) -> Client:
        """Add a session."""
        user = "postgres" if superuser else "app"
        session = self.server.open(user=user, application=application, superuser=superuser)
        session.unused = unused
        return FakeClient(self, session)

    def rival(self) -> bool:
        """Ask the fake's lock."""
        return self.server.claim.take_for_another()

    def rival_leaves(self) -> None:
        """Free it."""
        self.server.claim.leave()

    def age(self) -> None:
        """Move the clock."""
        self.clock.advance(SHORT * 2)

    def restart(self) -> None:
        """Restart the fake."""
        self.server.restart()

    def grant(self, *, stats: bool = True, signal: bool = True) -> None:
        """Set the server's attributes."""
        self.server.readable, self.server.can_signal = stats, signal


class FakeClient(Client):
    """Drives a `FakeSession`; each statement takes some virtual time."""

    def __init__(self, world: FakeWorld, session: FakeSession) -> None:
        self._world, self._session = world, session
        self.pid = session.id.pid

    def query(self) -> None:
        """Run and rest."""
        self._session.run()
        self._session.rest()

    def ping(self) -> None:
        """Run and rest, like any statement."""
        self.query()

    def begin(self) -> None:
        """Begin."""
        self._session.begin()

    def lock(self) -> None:
        """Lock."""
        self._session.take_advisory_lock()

    def listen(self) -> None:
        """Listen."""
        self._session.listen()

    def leave(self) -> None:
        """Leave."""
        self._world.server.leave(self._session)

    def vanish(self) -> None:
        """Vanish."""
        self._world.server.vanish(self._session)

    def be_killed(self) -> None:
        """Go."""
        self._world.server.dismiss(self._session)

    def lives(self) -> bool:
        """Ask the fake."""
        return self._world.server.exists(self._session)


class RealWorld(World):
    """A real server; what it opens is closed with it."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.reserved = int(server.settings.get("reserved_connections", 0))
        self.clients = ExitStack()
        self._rival: psycopg.Connection | None = None
        self._app = create_app_role(server)
        self.postgres: PostgresDatabase = open_database(
            "contract",
            create_watch_role(server),
            password=None,
            keywords={"application_name": "remediator"},
            connect_timeout=timedelta(seconds=10),
            query_timeout=timedelta(seconds=10),
            cutoffs=CUTOFFS,
            probe_every=timedelta(minutes=1),
            claims=True,
        )
        self.database: Database = self.postgres

    def moment(self) -> Moment:
        """Read the real clocks."""
        return Moment(datetime.now(UTC), time.monotonic())

    def open(self, application: str = "leaky", *, superuser: bool = False, unused: bool = False) -> Client:
        """Connect."""
        dsn = self.server.dsn() if superuser else self._app
        connection = psycopg.connect(dsn, application_name=application, autocommit=True)
        self.clients.callback(connection.close)
        return RealClient(self.server, connection, unused=unused)

    def rival(self) -> bool:
        """Take the lock by its documented numbers, in a session of its own."""
        self._rival = psycopg.connect(self.server.dsn(), autocommit=True, application_name="rival")
        self.clients.callback(self._rival.close)
        ((held,),) = self._rival.execute("SELECT pg_try_advisory_lock(1919772004, 1)").fetchall()
        return bool(held)

    def rival_leaves(self) -> None:
        """Close its session, and wait until the server knows."""
        assert self._rival is not None
        pid = self._rival.info.backend_pid
        self._rival.close()
        wait_until(lambda: not self.server.alive([pid]), what="the rival to leave")

    def age(self) -> None:
        """Wait."""
        time.sleep(SHORT.total_seconds() * 2)

    def restart(self) -> None:
        """Stop and start."""
        self.server.restart()

    def grant(self, *, stats: bool = True, signal: bool = True) -> None:
        """Grant and revoke."""
        create_watch_role(self.server, stats=stats, signal=signal)

    def leave(self) -> None:
        """Close what was opened and wait until the server has noticed."""
        self.clients.close()
        query = "SELECT FROM pg_stat_activity WHERE application_name NOT IN ('testbed') AND client_port > 0"
        wait_until(lambda: not self.server.rows(query), what="the clients to leave")


class RealClient(Client):
    """Drives a real connection."""

    def __init__(self, server: PostgresServer, connection: psycopg.Connection, *, unused: bool) -> None:
        self._server, self._connection = server, connection
        if not unused:
            connection.execute("SELECT 1")
        self.pid = connection.info.backend_pid

    def query(self) -> None:
        """Run a statement."""
        self._connection.execute("SELECT 1")

    def ping(self) -> None:
        """Run nothing."""
        self._connection.execute("")

    def begin(self) -> None:
        """Begin."""
        self._connection.execute("BEGIN")

    def lock(self) -> None:
        """Lock."""
        self._connection.execute("SELECT pg_advisory_lock(42)")

    def listen(self) -> None:
        """Listen."""
        self._connection.execute("LISTEN news")

    def leave(self) -> None:
        """Close."""
        self._connection.close()
        self._ended()

    def vanish(self) -> None:
        """Shut the connection down below the protocol."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        self._ended()

    def be_killed(self) -> None:
        """As a superuser."""
        self._server.rows(f"SELECT pg_terminate_backend({self.pid})")
        self._ended()

    def _ended(self) -> None:
        wait_until(lambda: not self.lives(), what="the session to end")

    def lives(self) -> bool:
        """Ask the server."""
        return self._server.alive([self.pid]) == {self.pid}
