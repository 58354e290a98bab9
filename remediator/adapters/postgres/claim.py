"""The right to act on a server: an advisory lock that one session has at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from remediator.adapters.postgres import queries
from remediator.adapters.postgres.connection import Connection

# The two numbers of pg_try_advisory_lock(int, int): "rmed", and what the lock is for.
LOCK = {"lock_class": 0x726D6564, "lock_object": 1}


@dataclass(slots=True)
class Claim:
    """Takes the lock on the long-lived connection and keeps it for as long as that one lives.

    Attributes:
        connection: The long-lived connection.
        wanted: Whether we are to act at all; a dry run leaves the lock to those who do.
    """

    connection: Connection
    wanted: bool
    _held_on: int | None = field(default=None, init=False)

    async def take(self, on: int) -> bool:
        """Take the lock unless we have it; tell whether we may act.

        Args:
            on: The connection that the sample was read on, by `opened`.

        Raises:
            NoAnswerError: The server did not answer in time, or not on that connection.
        """
        if not self.wanted or self._held_on == on:
            return True
        ((held,),) = await self.connection.fetch(queries.CLAIM, LOCK, on=on)
        self._held_on = on if held else None
        return bool(held)

    async def confirm(self, on: int) -> bool:
        """Ask the server whether we have it still.

        Args:
            on: As for `take`.

        Raises:
            NoAnswerError: The server did not answer in time, or not on that connection.
        """
        return bool(await self.connection.fetch(queries.CLAIMED, LOCK, on=on))
