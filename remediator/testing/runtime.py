"""A runtime in memory, whose replicas react to restarts as they are told."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from remediator.core.model import Health, Replica, ReplicaState
from remediator.errors import RejectedError, UnavailableError
from remediator.ports import Receipt
from remediator.testing.clock import FakeClock


class Reaction(Enum):
    """What becomes of a restart."""

    COMPLY = auto()  # comes back at once
    CRASH_LOOP = auto()  # comes back, and crashes and starts anew before every look at it
    STAY_DOWN = auto()  # stops and does not come back
    STAY_UNHEALTHY = auto()  # comes back, but its health check fails
    HANG = auto()  # no answer, and nothing is done
    ANSWER_LOST = auto()  # no answer, though it is restarted
    REJECT = auto()  # refused
    VANISH = auto()  # gone just before


class FakeRuntime:
    """Replicas in memory.

    Args:
        service: The service's name.
        replicas: How many there are: `NAME-1`, `NAME-2`...
        clock: Moved on by each restart, and the source of the starts' times.
        takes: How long a restart takes.
    """

    def __init__(
        self,
        service: str = "api",
        replicas: int = 1,
        *,
        clock: FakeClock | None = None,
        takes: timedelta = timedelta(seconds=1),
    ) -> None:
        self.service = service
        self.clock = clock or FakeClock()
        self.takes = takes
        self.available = True
        """Whether it answers at all."""
        self.restarted: list[str] = []
        """Names of the replicas that really were restarted, in order."""
        self._starts = 0
        self._replicas: dict[str, Replica] = {}
        self._script: dict[str, deque[Reaction]] = {}
        self._looping: set[str] = set()
        for number in range(1, replicas + 1):
            name = f"{service}-{number}"
            self._replicas[name] = Replica(
                service=service,
                id=f"{name}-id",
                name=name,
                state=ReplicaState.RUNNING,
                started=self._token(),
            )

    def script(self, name: str, *reactions: Reaction) -> None:
        """Say how a replica reacts to its next restarts; the last reaction is for all that follow."""
        if name not in self._replicas or not reactions:
            raise ValueError(f"no replica {name}, or no reaction")
        self._script[name] = deque(reactions)

    def change(self, name: str, **changes: Any) -> Replica:
        """Change a replica's state as somebody else might, and return it: `state=ReplicaState.PAUSED`."""
        self._replicas[name] = replace(self._replicas[name], **changes)
        return self._replicas[name]

    def start_anew(self, name: str) -> Replica:
        """Restart a replica as somebody else might, and return it."""
        return self.change(name, state=ReplicaState.RUNNING, started=self._token(), restarts=0)

    def remove(self, name: str) -> None:
        """Remove a replica as somebody else might."""
        del self._replicas[name]

    async def replicas(self) -> tuple[Replica, ...]:
        """Read the state of every replica.

        Raises:
            UnavailableError: `available` is false.
        """
        self._answer()
        for name in self._looping & self._replicas.keys():
            self.change(name, started=self._token(), restarts=self._replicas[name].restarts + 1)
        return tuple(self._replicas.values())

    async def restart(self, replica: Replica) -> Receipt:
        """Restart one replica, if it still is what it was.

        Raises:
            UnavailableError: `available` is false, or the replica's reaction is to give no answer.
            RejectedError: It is exempt, or its reaction is to refuse.
        """
        self._answer()
        reaction = self._next_reaction(replica.name)
        if reaction is Reaction.VANISH:
            self._replicas.pop(replica.name, None)
        current = self._replicas.get(replica.name)
        if current is None or (current.id, current.started) != (replica.id, replica.started):
            return Receipt.CHANGED
        if current.state is not ReplicaState.RUNNING:
            return Receipt.CHANGED
        if current.exempt is not None or reaction is Reaction.REJECT:
            raise RejectedError(f"{replica.name}: refused")
        self.clock.advance(self.takes)
        if reaction is not Reaction.HANG:
            self._restart(replica.name, reaction)
        if reaction in {Reaction.HANG, Reaction.ANSWER_LOST}:
            raise UnavailableError(f"{replica.name}: no answer")
        return Receipt.SENT

    def _restart(self, name: str, reaction: Reaction) -> None:
        self.restarted.append(name)
        self._looping.discard(name)
        self.start_anew(name)
        if reaction is Reaction.CRASH_LOOP:
            self._looping.add(name)
        elif reaction is Reaction.STAY_DOWN:
            self.change(name, state=ReplicaState.EXITED)
        elif reaction is Reaction.STAY_UNHEALTHY:
            self.change(name, health=Health.UNHEALTHY)
        elif self._replicas[name].health is not Health.NONE:
            self.change(name, health=Health.HEALTHY)

    def _next_reaction(self, name: str) -> Reaction:
        script = self._script.get(name)
        if not script:
            return Reaction.COMPLY
        return script.popleft() if len(script) > 1 else script[0]

    def _answer(self) -> None:
        if not self.available:
            raise UnavailableError(f"{self.service}: no answer")

    def _token(self) -> str:
        self._starts += 1
        return f"{self.clock.now().at.isoformat()} #{self._starts}"
