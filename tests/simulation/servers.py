"""What befalls a database server, and who else uses it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random

from remediator.core.trouble import Trouble, TroubleKind
from remediator.testing import FakeSession
from tests.simulation.trace import Trace
from tests.simulation.world import SimDatabase

_TROUBLE = (TroubleKind.UNREACHABLE, TroubleKind.TIMEOUT, TroubleKind.STARTING, TroubleKind.FAILED)
_BEFALLS = (
    "outage",
    "outage",
    "restart",
    "failover",
    "half_open",
    "hidden",
    "no_signal",
    "standby",
    "linger",
    "full",
    "guests",
    "guests",
    "reuse",
    "reuse",
)


class Fortune:
    """What befalls one server."""

    def __init__(self, database: SimDatabase, chance: Random, trace: Trace) -> None:
        self.database = database
        self._chance = chance
        self._trace = trace
        self._guests: list[FakeSession] = []

    async def turn(self) -> None:
        """Befall it for ever."""
        self._invite()
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / (6 * 3600)))
            what = self._chance.choice(_BEFALLS)
            self._trace.note("server", f"{self.database.name}: {what}")
            await self._befall(what)

    def heal(self) -> None:
        """Make everything work."""
        database = self.database
        database.trouble = None
        database.half_open = 0
        database.readable = database.can_signal = True
        database.in_recovery = False
        for session in database.every_session():
            session.flips = False
            if session.ends_at is None:
                session.lingers = timedelta(0)
        for guest in self._guests:
            database.leave(guest)
        self._guests.clear()
        database.touch()

    async def _befall(self, what: str) -> None:  # noqa: C901, PLR0912  a list of misfortunes
        database, chance = self.database, self._chance
        match what:
            case "outage":
                database.trouble = Trouble(chance.choice(_TROUBLE), "no answer")
                await self._a_while()
                if chance.random() < 0.5:
                    self._restart()
                database.trouble = None
            case "full" if database.free() <= 0:
                database.trouble = Trouble(TroubleKind.FULL, "sorry, too many clients already")
                await self._a_while()
                database.trouble = None
            case "restart":
                self._restart()
            case "failover":
                database.fail_over()
                self._guests.clear()
            case "half_open":
                database.half_open = max(0, database.free())
                database.touch()
                await self._a_while()
                database.half_open = 0
            case "hidden":
                database.readable = False
                await self._a_while()
                database.readable = True
            case "no_signal":
                database.can_signal = False
                await self._a_while()
                database.can_signal = True
            case "standby":
                database.in_recovery = True
                await self._a_while()
                database.in_recovery = False
            case "linger":
                for session in chance.sample(database.every_session(), len(database.every_session()) // 3):
                    session.lingers = chance.choice((None, timedelta(seconds=5), timedelta(minutes=5)))
            case "guests":
                self._invite()
            case "reuse":
                self._reuse()
        database.touch()

    async def _a_while(self) -> None:
        self.database.touch()
        await asyncio.sleep(self._chance.choice((5.0, 60.0, 600.0, 3600.0)) * self._chance.random())

    def _restart(self) -> None:
        self.database.restart()
        self._guests.clear()
        self.database.touch()

    def _invite(self) -> None:
        """Sessions that nobody may touch, and one that may be."""
        database, chance = self.database, self._chance
        if database.free() < database.max_connections // 3:
            return
        self._guests.append(database.open(user="postgres", application="psql", superuser=True))
        self._guests.append(database.open(user="migrator", application="migrate"))
        self._guests.append(database.open(application=chance.choice(("pg_dump", "report1", "psql"))))
        self._guests.append(database.open(backend_type="walsender", application="standby"))
        guest = chance.choice(self._guests)
        guest.take_advisory_lock()
        database.touch(guest)

    def _reuse(self) -> None:
        """Give the pids of sessions that are gone to new ones."""
        there = {session.id.pid for session in self.database.every_session()}
        gone = [session.pid for session in self.database.signals[-20:] if session.pid not in there]
        for pid in dict.fromkeys(gone[: max(0, min(5, self.database.free()))]):
            self._guests.append(self.database.open(pid=pid, application="newcomer"))
