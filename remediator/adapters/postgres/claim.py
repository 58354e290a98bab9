"""The right to act on a server: an advisory lock that one session has at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from remediator.adapters.postgres import queries
from remediator.adapters.postgres.connection import Connection
from remediator.core.model import SessionId
from remediator.core.server import Holder

# The two numbers of pg_try_advisory_lock(int, int): "rmed", and what the lock is for.
LOCK = {"lock_class": 0x726D6564, "lock_object": 1}
# An idle session ends within milliseconds of its signal.
_LOOKS, _LOOK_EVERY = 10, 0.05


@dataclass(slots=True)
class Claim:
    """Takes the lock on the long-lived connection and keeps it for as long as that one lives.

    Where that one was lost without the server noticing, our own old session would keep us from acting
    until the server's keepalives find out. It is ended instead.

    Attributes:
        connection: The long-lived connection.
        wanted: Whether we are to act at all; a dry run leaves the lock to those who do.
        ended: How many sessions of ours were ended so.
    """

    connection: Connection
    wanted: bool
    ended: int = field(default=0, init=False)
    _held_on: int | None = field(default=None, init=False)
    _held_by: SessionId | None = field(default=None, init=False)

    async def take(self, on: int) -> bool:
        """Take the lock unless we have it; tell whether we may act.

        Args:
            on: The connection that the sample was read on, by `opened`.

        Raises:
            NoAnswerError: The server did not answer in time, or not on that connection.
        """
        if not self.wanted or self._held_on == on:
            return True
        if await self._try(on):
            return True
        if self._held_by is None or not await self._reclaim(self._held_by, on):
            return False
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_EVERY)
            if await self._try(on):
                return True
        return False

    async def _try(self, on: int) -> bool:
        ((held, pid, backend_start),) = await self.connection.fetch(queries.CLAIM, LOCK, on=on)
        if held:
            self._held_on, self._held_by = on, SessionId(pid, backend_start)
        return bool(held)

    async def _reclaim(self, lost: SessionId, on: int) -> bool:
        """End our session of before if it still has the lock; tell whether it had. It is tried once."""
        session = {"pid": lost.pid, "backend_start": lost.backend_start}
        rows = await self.connection.fetch(queries.RECLAIM, {**session, **LOCK}, on=on)
        self._held_by = None
        self.ended += len(rows)
        return bool(rows)

    async def holder(self, on: int | None = None) -> Holder | None:
        """Ask the server who else has the lock, None for nobody.

        Args:
            on: As for `take`.

        Raises:
            NoAnswerError: The server did not answer in time, or not on that connection.
        """
        rows = await self.connection.fetch(queries.HOLDER, LOCK, on=on)
        return next((Holder(*row) for row in rows), None)

    async def confirm(self, on: int) -> bool:
        """Ask the server whether we have it still.

        Args:
            on: As for `take`.

        Raises:
            NoAnswerError: The server did not answer in time, or not on that connection.
        """
        return bool(await self.connection.fetch(queries.CLAIMED, LOCK, on=on))
