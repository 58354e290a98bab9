"""Opening a connection, with the server's SQLSTATE when it refuses.

psycopg reports a failed connection as translated text without a code. libpq has the code: at error
verbosity VERBOSE it writes it into the message (PQsetErrorVerbosity in libpq's documentation). psycopg
does not wrap that one function, so it is called in the very libpq that psycopg has loaded.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from psycopg import AsyncConnection, Error, conninfo, pq
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow

from remediator.adapters.postgres.refusal import NONE_GIVEN, host_of, place_of, refusal
from remediator.adapters.postgres.resolve import addresses_of, several
from remediator.core.text import one_line
from remediator.core.trouble import Trouble, TroubleKind

_VERBOSITY_DEFAULT, _VERBOSITY_VERBOSE = 1, 2
# "SEVERITY:  CODE: text"; the two blanks tell a code from a severity of five letters, such as FATAL.
_CODE = re.compile(r": {2}([0-9A-Z]{5}): (.*)")
# Where in the server's source the CONNECTION LIMIT of a role and of a database is checked; the text would
# be translated.
_ROLE_LIMIT = re.compile(r"\bInitializeSessionUserId, miscinit\.c:\d+\s*$")
_DATABASE_LIMIT = re.compile(r"\bCheckMyDatabase, postinit\.c:\d+\s*$")
_KINDS = {
    "53300": TroubleKind.FULL,
    "57P03": TroubleKind.STARTING,
    "57P01": TroubleKind.STOPPING,
    "57P02": TroubleKind.STOPPING,
}
_DENIED_CLASSES = ("28", "3D", "42")


@dataclass(frozen=True, slots=True)
class ConnectError(Exception):
    """A connection could not be made.

    Attributes:
        sqlstate: The server's code, None when no server answered.
        own_limit: Refused by the CONNECTION LIMIT of the database that was asked for.
    """

    trouble: Trouble
    sqlstate: str | None = None
    own_limit: bool = False

    def __str__(self) -> str:
        return self.trouble.detail


@cache
def _libpq() -> ctypes.CDLL:
    module = sys.modules[pq.PGconn.__module__]
    loaded = getattr(module, "pq", None)  # the ctypes implementation holds its library open
    library = loaded if isinstance(loaded, ctypes.CDLL) else ctypes.CDLL(module.__file__)
    library.PQsetErrorVerbosity.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return library


def _set_verbosity(pgconn: PGconn, verbosity: int) -> None:
    pointer: Any = getattr(pgconn, "pgconn_ptr", None)  # in every implementation, not in the protocol
    _libpq().PQsetErrorVerbosity(pointer, verbosity)


async def connect(
    params: Mapping[str, str], within: float, password_from: str = ""
) -> AsyncConnection[TupleRow]:
    """Open one connection in autocommit mode.

    Autocommit matters: inside a transaction PostgreSQL answers every look at `pg_stat_activity` from
    a copy made at the first one.

    Args:
        params: libpq keywords.
        within: Seconds for the whole attempt, all addresses included.
        password_from: Where the password is from, for whoever has to mend a wrong one.

    Raises:
        ConnectError: No connection, with the reason and the server's code if there is one.
    """
    missing = f"no answer from the resolver about {host_of(params)}"
    try:
        async with asyncio.timeout(within):
            candidates = await _candidates(params, within)
            missing = f"no answer from {place_of(params)}"
            pgconn = await _first(candidates)
    except TimeoutError:
        text = f"{missing} within {within:g} s"
        raise ConnectError(Trouble(TroubleKind.TIMEOUT, text)) from None
    except ConnectError as error:
        if error.trouble.kind is not TroubleKind.DENIED:
            raise
        text = refusal(error.sqlstate, error.trouble.detail, params, password_from)
        raise replace(error, trouble=replace(error.trouble, detail=text)) from None
    except OSError as error:
        why = error.strerror or error
        text = f"cannot find the address of {host_of(params)}: {why}; check the dsn's host, and the resolver"
        raise ConnectError(Trouble(TroubleKind.UNREACHABLE, text)) from None
    except Error as error:
        text = one_line(str(error)) or type(error).__name__
        raise ConnectError(Trouble(TroubleKind.FAILED, text)) from None
    connection: AsyncConnection[TupleRow] = AsyncConnection(pgconn)
    await connection.set_autocommit(True)
    return connection


async def _candidates(params: Mapping[str, str], within: float) -> list[dict[str, str]]:
    """Resolve host names here: libpq would block the event loop while it asks the resolver."""
    host = host_of(params)
    if not host or host.startswith(("/", "@")) or "hostaddr" in params or "PGHOSTADDR" in os.environ:
        return [dict(params)]
    port = params.get("port") or "5432"
    if "," in host:
        return [{**params, **await several(host, port, within / 2)}]
    found = await addresses_of(host, port)
    return [{**params, "host": host, "hostaddr": address} for address in found]


async def _first(candidates: list[dict[str, str]]) -> PGconn:
    for params in candidates[:-1]:
        try:
            return await _attempt(params)
        except ConnectError as error:
            if error.trouble.kind is not TroubleKind.UNREACHABLE:
                raise
    return await _attempt(candidates[-1])


async def _attempt(params: Mapping[str, str]) -> PGconn:
    pgconn = pq.PGconn.connect_start(conninfo.make_conninfo("", **params).encode())
    done = False
    try:
        _set_verbosity(pgconn, _VERBOSITY_VERBOSE)
        while pgconn.status is not pq.ConnStatus.BAD:
            match pgconn.connect_poll():
                case pq.PollingStatus.OK:
                    _set_verbosity(pgconn, _VERBOSITY_DEFAULT)
                    pgconn.nonblocking = 1
                    done = True
                    return pgconn
                case pq.PollingStatus.READING:
                    await _ready(pgconn.socket, writing=False)
                case pq.PollingStatus.WRITING:
                    await _ready(pgconn.socket, writing=True)
                case _:
                    break
        said = pgconn.get_error_message() if pgconn.error_message else _unsaid()
        raise _error(f"{said.rstrip()}; {NONE_GIVEN}" if pgconn.needs_password else said)
    finally:
        if not done:
            pgconn.finish()


async def _ready(fd: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, ready.set_result, None)
    try:
        await ready
    finally:
        remove(fd)


def _unsaid() -> str:
    """Why there is no connection when libpq says nothing, as it does when it gets no socket."""
    try:
        socket.socket().close()
    except OSError as error:
        return f"no socket for another connection: {error.strerror or error}"
    return "connection failed"


def _error(message: str) -> ConnectError:
    """Class libpq's verbose message; with several hosts the last one that answered counts."""
    answers = _CODE.findall(message)
    if not answers:
        text = one_line(message)
        return ConnectError(Trouble(TroubleKind.UNREACHABLE, text))
    sqlstate, text = answers[-1]
    if sqlstate == "53300" and _ROLE_LIMIT.search(message):
        # Our own limit says nothing about slots: others still get in.
        return ConnectError(Trouble(TroubleKind.DENIED, text.strip()), sqlstate)
    kind = _KINDS.get(sqlstate)
    if kind is None:
        kind = TroubleKind.DENIED if sqlstate.startswith(_DENIED_CLASSES) else TroubleKind.FAILED
    limited = sqlstate == "53300" and _DATABASE_LIMIT.search(message) is not None
    return ConnectError(Trouble(kind, text.strip()), sqlstate, own_limit=limited)
