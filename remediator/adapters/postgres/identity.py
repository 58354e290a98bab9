"""Which server answers: on the long-lived connection, and to those who connect now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from remediator.adapters.postgres import queries
from remediator.adapters.postgres.connection import Connection, Deadline, NoAnswerError
from remediator.core.server import Server
from remediator.core.trouble import TroubleKind

_EVERY = 15.0
_NOT_TOLD = frozenset({TroubleKind.DENIED, TroubleKind.FAILED})


@dataclass(slots=True)
class Identity:
    """Adds to a server what tells it from its standbys and copies, where it may be read."""

    connection: Connection
    _known: tuple[int | None, int | None, int | None] = (None, None, None)
    _on: tuple[int, bool] = (0, False)
    _again_at: float = 0.0

    async def of(self, server: Server, on: int) -> Server:
        """Complete a server that has just been read.

        Args:
            server: The server.
            on: The connection it was read on, by `opened`.

        Raises:
            NoAnswerError: The server did not answer in time, or not on that connection.
        """
        now = asyncio.get_running_loop().time()
        if self._on != (on, server.in_recovery) or now >= self._again_at:
            self._again_at = now + _EVERY
            try:
                self._known = (await self.connection.fetch(queries.IDENTITY, on=on))[0]
            except NoAnswerError as error:
                if error.trouble.kind not in _NOT_TOLD:
                    raise
                self._known = (None, None, None)
                self._again_at = float("inf")  # asking again would only fill the server's log
            self._on = (on, server.in_recovery)
        system, timeline, position = self._known
        return replace(server, system=system, timeline=timeline, position=position)


@dataclass(slots=True)
class Whereabouts:
    """Compares the server that is read with the one that new connections reach."""

    _met: tuple[datetime, bool] | None = None
    _left: set[datetime] = field(default_factory=set)

    async def meet(self, connection: AsyncConnection[TupleRow], within: float) -> None:
        """Take note of the server behind a new connection.

        Args:
            connection: The new connection.
            within: Seconds it may take; without an answer nothing is known.
        """
        self._met = None
        try:
            with Deadline(connection, within):
                await connection.execute(queries.GROUND)
                cursor = await connection.execute(queries.WHEREABOUTS)
                row = await cursor.fetchone()
        except psycopg.Error:
            return
        if row is not None:
            self._met = (row[0], row[1])

    def moved(self, server: Server) -> bool:
        """Tell whether to leave the server that is read, because a new connection has reached another one.

        Each meeting counts once. Where several servers take turns at an address, one that was left is
        not left again.
        """
        met, self._met = self._met, None
        if met is None:
            return False
        started, in_recovery = met
        reading = server.started_at.astimezone(UTC).replace(tzinfo=None)
        if started == reading:
            self._left.clear()
            return False
        if reading in self._left or (in_recovery and server.in_recovery):
            return False
        self._left.add(reading)
        return True
