"""Another remediator, on another machine and with its own ledger, that wants to act on the same server."""

from __future__ import annotations

import asyncio
from random import Random

from tests.simulation.trace import Trace
from tests.simulation.world import SimDatabase

_HOUR = 3600.0


class Rival:
    """Comes now and then, acts while it has the right to, and goes.

    Args:
        database: The server.
        chance: Decides when.
        trace: Told.
    """

    def __init__(self, database: SimDatabase, chance: Random, trace: Trace) -> None:
        self._database = database
        self._chance = chance
        self._trace = trace

    async def live(self) -> None:
        """Come and go for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / (12 * _HOUR)))
            self._trace.note("rival", f"{self._database.name}: comes")
            goes = loop.time() + self._chance.expovariate(1 / _HOUR)
            while loop.time() < goes:
                self._look(loop.time())
                await asyncio.sleep(self._chance.uniform(5, 60))
            self.leave()

    def leave(self) -> None:
        """Give up the right to act."""
        if self._database.rival_since is not None:
            self._database.claim.leave()
            self._trace.note("rival", f"{self._database.name}: goes")
        self._database.rival_since = None

    def _look(self, now: float) -> None:
        database = self._database
        if database.trouble is not None or not database.claim.take_for_another():
            return
        if database.rival_since is None:
            database.rival_since = now
            self._trace.note("rival", f"{database.name}: has the right to act")
        if database.free() <= 0:
            clients = [session for session in database.every_session() if session.user == "app"]
            for session in self._chance.sample(clients, min(2, len(clients))):
                database.leave(session)
