"""Looking at the world for what came of the ledger's open entries, whoever made them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from remediator.core.ledger import Entry, Outcome, Result
from remediator.core.model import (
    Moment,
    Replica,
    SessionId,
)
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.service import Service
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.verify import Sighting, verify_restart, verify_termination
from remediator.cycle.lineage import Lineage
from remediator.errors import RejectedError, RemediatorError, UnavailableError
from remediator.ports import Database, Receipt, Runtime

_ELSEWHERE = "another server answers now, on which its session cannot be looked for"
_IMMEDIATE = {
    Receipt.SIMULATED: Result.SIMULATED,
    Receipt.CHANGED: Result.CHANGED,
    Receipt.DENIED: Result.DENIED,
}


def immediate(receipt: Receipt, moment: Moment) -> Outcome | None:
    """The outcome that a receipt already tells; None when the world must be looked at."""
    result = _IMMEDIATE.get(receipt)
    return Outcome(result, moment.at) if result is not None else None


@dataclass(slots=True)
class Verifier:
    """Finds the outcomes of open entries.

    Attributes:
        database: Where sessions are looked for.
        services: Every configured service by name.
        runtimes: Their runtimes by name.
        lineage: Which server answers.
    """

    database: Database
    services: Mapping[str, Service]
    runtimes: Mapping[str, Runtime]
    lineage: Lineage
    _requests: dict[int, asyncio.Task[Receipt]] = field(default_factory=dict)
    _sightings: dict[int, Sighting] = field(default_factory=dict)

    def request(self, entry: Entry, replica: Replica) -> None:
        """Begin a restart; it takes as long as the replica takes to stop, which cycles do not wait for."""
        restart = self.runtimes[replica.service].restart(replica)
        self._requests[entry.id] = asyncio.ensure_future(restart)

    async def outcomes(
        self, entries: Sequence[Entry], moment: Moment, patience: timedelta = timedelta(0)
    ) -> list[tuple[Entry, Outcome]]:
        """Find the outcomes that can be told by now.

        Args:
            entries: Open entries of this database.
            moment: Now.
            patience: How long to wait for terminated sessions to be gone.
        """
        found = await self._terminations(entries, moment, patience)
        for entry in entries:
            if isinstance(entry.intent.action, RestartReplica):
                outcome = await self._restart(entry, entry.intent.action.replica, moment)
                if outcome is not None:
                    found.append((entry, outcome))
                    self._forget(entry.id)
        return found

    async def _terminations(
        self, entries: Sequence[Entry], moment: Moment, patience: timedelta
    ) -> list[tuple[Entry, Outcome]]:
        sessions: list[SessionId] = []
        terminations: list[Entry] = []
        found: list[tuple[Entry, Outcome]] = []
        for entry in entries:
            if not isinstance(entry.intent.action, TerminateSession):
                continue
            if self.lineage.elsewhere(entry):
                found.append((entry, Outcome(Result.UNKNOWN, moment.at, _ELSEWHERE)))
                continue
            sessions.append(entry.intent.action.session.id)
            terminations.append(entry)
        if not terminations:
            return found
        alive: frozenset[SessionId] | Trouble
        try:
            alive = await self.database.alive(sessions, patience)
        except UnavailableError as error:
            alive = Trouble(TroubleKind.UNREACHABLE, str(error))
        told = [(entry, verify_termination(entry, alive, moment)) for entry in terminations]
        return found + [(entry, outcome) for entry, outcome in told if outcome is not None]

    async def _restart(self, entry: Entry, replica: Replica, moment: Moment) -> Outcome | None:
        outcome = self._answer(entry.id, moment)
        if outcome is not None:
            return outcome
        service = self.services.get(replica.service)
        replicas = await read_replicas(self.runtimes.get(replica.service))
        if service is None:
            return Outcome(Result.UNKNOWN, moment.at, "the service is no longer in the config")
        outcome, sighting = verify_restart(
            entry, replicas, service.verification, self._sightings.get(entry.id), moment
        )
        if sighting is None:
            self._sightings.pop(entry.id, None)
        else:
            self._sightings[entry.id] = sighting
        return outcome

    def _answer(self, entry_id: int, moment: Moment) -> Outcome | None:
        """What the runtime's answer alone tells: that nothing was done. All else must be seen."""
        task = self._requests.get(entry_id)
        if task is None or not task.done() or task.cancelled():
            return None
        error = task.exception()
        if isinstance(error, RejectedError):
            return Outcome(Result.DENIED, moment.at, str(error))
        if error is not None:
            return None
        return immediate(task.result(), moment)

    def _forget(self, entry_id: int) -> None:
        self._sightings.pop(entry_id, None)
        task = self._requests.pop(entry_id, None)
        if task is not None and not task.done():
            task.cancel()


async def read_replicas(runtime: Runtime | None) -> tuple[Replica, ...] | Trouble:
    """Read a service's replicas, with trouble as a value."""
    if runtime is None:
        return Trouble(TroubleKind.FAILED, "the service is not in the config")
    try:
        return await runtime.replicas()
    except RemediatorError as error:
        return Trouble(TroubleKind.UNREACHABLE, str(error))
