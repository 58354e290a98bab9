"""One long-lived connection that comes back by itself and never keeps anybody waiting."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads

from remediator.adapters.postgres import queries
from remediator.adapters.postgres.connect import ConnectError, connect
from remediator.core.text import one_line
from remediator.core.trouble import Trouble, TroubleKind
from remediator.errors import UnavailableError

_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.5, 15.0
_MOST_FAILURES = 10  # by then the backoff is the longest
_KEEPALIVES = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_NOT_THE_SAME = Trouble(TroubleKind.MOVED, "the connection was lost since the sample was taken")


class NoAnswerError(UnavailableError):
    """The server gave no answer; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.detail)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a connection by our account, as addresses and ports."""

    ours: tuple[str, int]
    theirs: tuple[str, int]


@dataclass(slots=True)
class Connection:
    """A connection that is opened when it is needed and opened again after it broke.

    Attributes:
        params: libpq keywords, password included; not in the repr.
        connect_timeout: Seconds to open it.
        query_timeout: Seconds for one exchange. The deadline is kept on this side by shutting the
            socket down, because keepalives, `tcp_user_timeout` and `statement_timeout` all leave a
            client waiting for ever when the server process is frozen.
        password_from: Where the password is from, for whoever has to mend a wrong one.
        opened: How often a connection was opened so far; 0 before the first.
    """

    params: Mapping[str, str] = field(repr=False)
    connect_timeout: float
    query_timeout: float
    password_from: str = ""
    opened: int = 0
    _open: AsyncConnection[TupleRow] | None = None
    _failures: int = 0
    _not_before: float = 0.0
    _trouble: Trouble | None = None

    @property
    def server_address(self) -> str | None:
        """The address connected to; None without a connection, or on a unix socket."""
        return self._open.info.hostaddr or None if self._open is not None else None

    @property
    def ends(self) -> Ends | None:
        """Both ends; None without a connection, or on a unix socket."""
        address = self.server_address
        if self._open is None or address is None:
            return None
        try:
            with _borrowed(self._open) as borrowed:
                host, port = borrowed.getsockname()[:2]
            return Ends((host.partition("%")[0], port), (address.partition("%")[0], self._open.info.port))
        except (OSError, psycopg.Error):
            return None

    async def fetch(
        self, query: LiteralString, params: Mapping[str, Any] | None = None, *, on: int | None = None
    ) -> Sequence[TupleRow]:
        """Run one statement and return its rows.

        Args:
            query: The statement.
            params: Its parameters.
            on: As for `cursor`.

        Raises:
            NoAnswerError: No connection, or no answer in time; the connection is closed then.
        """
        async with self.cursor(on=on) as cursor:
            await cursor.execute(query, params, prepare=True)
            return await cursor.fetchall()

    @asynccontextmanager
    async def cursor(
        self, within: float | None = None, *, on: int | None = None
    ) -> AsyncIterator[AsyncCursor[TupleRow]]:
        """Give a cursor for one exchange that ends at the deadline.

        Args:
            within: Seconds, the query timeout if not given.
            on: What `opened` must be: another connection may lead to another server.

        Raises:
            NoAnswerError: No connection, not that one, or the exchange failed or was not over in time.
        """
        seconds = within or self.query_timeout
        connection = await self._connected()
        if on is not None and on != self.opened:
            raise NoAnswerError(_NOT_THE_SAME)
        deadline = Deadline(connection, seconds)
        try:
            with deadline:
                async with connection.cursor() as cursor:
                    yield cursor
        except psycopg.Error as error:
            trouble = deadline.trouble or _trouble(error)
            if deadline.trouble or connection.broken or connection.closed:
                await self.close()
            raise NoAnswerError(trouble) from None
        except BaseException:  # cancelled half-way: what the server is about to say belongs to nobody
            await self.close()
            raise

    async def open(self) -> AsyncConnection[TupleRow]:
        """Open another connection to the same place, for the caller to close.

        Raises:
            ConnectError: As `connect` does.
        """
        return await connect(self.params, self.connect_timeout, self.password_from)

    async def close(self) -> None:
        """Close the connection, if there is one, without waiting for the server."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(Exception):  # it may be broken in any way; it is gone in any case
                await connection.close()

    async def _connected(self) -> AsyncConnection[TupleRow]:
        if self._open is not None and not self._open.closed:
            return self._open
        loop = asyncio.get_running_loop()
        if self._trouble is not None and loop.time() < self._not_before:
            raise NoAnswerError(self._trouble)
        try:
            self._open = await self._connect()
        except NoAnswerError as error:
            self._trouble = error.trouble
            if error.trouble.kind is not TroubleKind.FULL:  # a refusal is evidence: never repeat an old one
                backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2**self._failures)
                self._failures = min(self._failures + 1, _MOST_FAILURES)
                self._not_before = loop.time() + backoff
            raise
        self.opened += 1
        self._failures = 0
        self._trouble = None
        return self._open

    async def _connect(self) -> AsyncConnection[TupleRow]:
        try:
            connection = await self.open()
        except ConnectError as error:
            raise NoAnswerError(error.trouble) from None
        connection.adapters.register_loader("text", _ForgivingText)
        connection.adapters.register_loader("name", _ForgivingText)
        set_json_loads(_forgiving_json, connection)
        settings = {"statement_timeout": f"{max(1, int(self.query_timeout * 1000))}ms"}
        settings |= {name: self.params.get(name, "0") for name in _KEEPALIVES}  # 0 is the system's default
        deadline = Deadline(connection, self.query_timeout)
        try:
            with deadline:
                await connection.execute(queries.GROUND)
                await connection.execute(queries.SETTINGS, settings)
        except psycopg.Error as error:
            await connection.close()
            raise NoAnswerError(deadline.trouble or _trouble(error)) from None
        except BaseException:  # cancelled, before anybody else knows of the connection and could close it
            await connection.close()
            raise
        return connection


class Deadline:
    """Shuts a connection's socket down when the time is over, which wakes whoever waits on it."""

    def __init__(self, connection: AsyncConnection[TupleRow], seconds: float) -> None:
        self.trouble: Trouble | None = None
        """Set once the time is over."""
        self._connection = connection
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self.trouble = Trouble(TroubleKind.TIMEOUT, f"no answer to a query within {self._seconds:g} s")
        with suppress(OSError, psycopg.Error), _borrowed(self._connection) as borrowed:
            borrowed.shutdown(socket.SHUT_RDWR)


@contextmanager
def _borrowed(connection: AsyncConnection[TupleRow]) -> Iterator[socket.socket]:
    """Hold a connection's socket, which goes on belonging to it; works without a free descriptor."""
    borrowed = socket.socket(fileno=connection.fileno())
    try:
        yield borrowed
    finally:
        borrowed.detach()


class _ForgivingText(Loader):
    """Reads text of unknown encoding: names shared by all databases are in that of their maker's."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode(errors="replace")


def _forgiving_json(data: str | bytes) -> Any:
    return json.loads(data if isinstance(data, str) else data.decode(errors="replace"))


def _trouble(error: psycopg.Error) -> Trouble:
    text = one_line(str(error)) or type(error).__name__
    match error.sqlstate:
        case "57P01" | "57P02":
            return Trouble(TroubleKind.STOPPING, f"our own session was ended: {text}")
        case "57014":
            return Trouble(TroubleKind.TIMEOUT, "the server did not answer a query in time")
        case None:
            return Trouble(TroubleKind.UNREACHABLE, text)
        case "42501":
            return Trouble(TroubleKind.DENIED, text)
        case _:
            return Trouble(TroubleKind.FAILED, text)
