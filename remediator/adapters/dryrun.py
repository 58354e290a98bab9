"""The world as a dry run may touch it: everything can be read, nothing can be changed.

These stand in for the real database and runtimes, so that no code above knows which mode it runs in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.model import Moment, Replica, Sample, Session, SessionId
from remediator.ports import NO_STARTS, Database, Receipt, Runtime


@dataclass(frozen=True, slots=True)
class DryRunDatabase:
    """A database whose sessions are safe."""

    database: Database

    @property
    def name(self) -> str:
        """The database's name in the config."""
        return self.database.name

    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        """Read a real sample."""
        return await self.database.sample(moment, starts)

    async def sessions(self) -> tuple[Session, ...]:
        """Read the real sessions."""
        return await self.database.sessions()

    async def terminate(
        self,
        sessions: Sequence[Session],
        older_than: timedelta,  # noqa: ARG002  the port's signature
    ) -> tuple[Receipt, ...]:
        """Do nothing, and say so."""
        return (Receipt.SIMULATED,) * len(sessions)

    async def may_act(self) -> bool:
        """Whoever does nothing may always do so."""
        return True

    async def alive(self, ids: Sequence[SessionId], patience: timedelta) -> frozenset[SessionId]:
        """Look at the real sessions."""
        return await self.database.alive(ids, patience)

    async def close(self) -> None:
        """Close the real connection."""
        await self.database.close()


@dataclass(frozen=True, slots=True)
class DryRunRuntime:
    """A runtime whose replicas are safe."""

    runtime: Runtime

    async def replicas(self) -> tuple[Replica, ...]:
        """Read the real replicas."""
        return await self.runtime.replicas()

    async def restart(self, replica: Replica) -> Receipt:  # noqa: ARG002  the port's signature
        """Do nothing, and say so."""
        return Receipt.SIMULATED
