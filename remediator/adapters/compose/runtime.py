"""A Compose service's containers as replicas that can be restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remediator.adapters.compose.containers import (
    PROJECT,
    SERVICE,
    Container,
    Surroundings,
    canonical,
    read_containers,
)
from remediator.adapters.compose.failure import FAILURES, translate
from remediator.adapters.compose.own import read_own_ids
from remediator.core.grace import StopGrace
from remediator.core.model import Replica, ReplicaState
from remediator.errors import RejectedError, UnavailableError
from remediator.ports import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta

    from remediator.adapters.compose.client import DockerEngine

_MOST_NAMES = 20


class ComposeRuntime:
    """The containers of one service of one Compose project.

    Args:
        service: Our name of the service.
        project: Compose's name of the project.
        compose_service: Compose's name of the service.
        engine: Where it runs.
        database_addresses: Tells the addresses of the databases' servers, read anew every time.
        own: Ids of the containers we may be in; found out from the system when None.

    Raises:
        ValueError: The project or the service is empty: that would select too much.
    """

    def __init__(
        self,
        service: str,
        *,
        project: str,
        compose_service: str,
        engine: DockerEngine,
        database_addresses: Callable[[], frozenset[str]] = frozenset,
        own: frozenset[str] | None = None,
    ) -> None:
        if not project.strip() or not compose_service.strip():
            raise ValueError("both the Compose project and its service must be named")
        self.service = service
        self._labels = {PROJECT: project, SERVICE: compose_service}
        self._engine = engine
        self._database_addresses = database_addresses
        self._own = read_own_ids() if own is None else own

    @property
    def selector(self) -> str:
        """What its containers are known by, in words."""
        return ", ".join(f"{label}={value}" for label, value in self._labels.items())

    async def alternatives(self) -> str:
        """What else there is, in words, for a person who may have mistyped a name; empty when nothing is.

        Raises:
            UnavailableError: The engine did not answer in time.
            RejectedError: The engine, or a proxy in front of it, does not allow reading.
        """
        there = await self._engine.labels(PROJECT)
        project = self._labels[PROJECT]
        if services := {one[SERVICE] for one in there if one.get(PROJECT) == project and one.get(SERVICE)}:
            return f"the services of project {project}: {_few(services)}"
        projects = {one[PROJECT] for one in there if one.get(PROJECT)}
        return f"the projects that are there: {_few(projects)}" if projects else ""

    async def replicas(self) -> tuple[Replica, ...]:
        """Read the state of every container of the service, by number, then name.

        Raises:
            UnavailableError: The engine did not answer in time.
            RejectedError: The engine, or a proxy in front of it, does not allow reading.
        """
        return tuple(container.replica for container in await self._containers())

    async def examine(self, replica: Replica, argv: Sequence[str], within: timedelta) -> tuple[str, str]:
        """Run a command that only looks in a replica's container; how it ended, and what it printed.

        Raises:
            UnavailableError: No answer in time.
            RejectedError: The engine, or a proxy in front of it, does not allow it.
        """
        return await self._engine.execute(replica.id, argv, within)

    async def restart(self, replica: Replica) -> Receipt:
        """Restart one container if it runs, and is what it was when `replica` was read.

        Its own stop timeout is sent along. Docker cannot compare and restart in one request: what happens
        to the container between our look and the request is not seen.

        Raises:
            UnavailableError: No answer; it may have been restarted or not.
            RejectedError: Refused, or exempt; it was not restarted.
        """
        found = [c for c in await self._containers() if c.replica.id == replica.id]
        if not found or not _same(found[0].replica, replica):
            return Receipt.CHANGED
        current = found[0]
        if current.replica.exempt is not None:
            raise RejectedError(
                f"{current.replica.name} is never restarted: it is {current.replica.exempt.value}"
            )
        try:
            there = await self._engine.restart(
                current.replica.id, stop_timeout=current.grace, stops_within=current.replica.stop_timeout
            )
        except RejectedError as error:
            await self._see_it_unharmed(replica, str(error))
            raise
        if not there:
            await self._see_it_unharmed(
                replica, "the engine says that there is no such container, yet there is"
            )
        return Receipt.SENT if there else Receipt.CHANGED

    async def _see_it_unharmed(self, replica: Replica, said: str) -> None:
        """Look whether a refusal came before anything was done: a failed start may be called a bad request.

        Raises:
            UnavailableError: The container is there, and no longer as it was.
        """
        if any(
            c.replica.id == replica.id and not _same(c.replica, replica) for c in await self._containers()
        ):
            raise UnavailableError(said)

    async def stop_graces(self) -> tuple[StopGrace, ...]:
        """Read how long each container is given to stop; exempt containers are left out.

        Raises:
            UnavailableError: The engine did not answer in time.
            RejectedError: The engine, or a proxy in front of it, does not allow reading.
        """
        return tuple(
            StopGrace(c.replica.name, None if c.stop_timeout is None else c.replica.stop_timeout)
            for c in await self._containers()
            if c.replica.exempt is None
        )

    async def _containers(self) -> tuple[Container, ...]:
        inspected = await self._engine.find(self._labels)
        database = (canonical(address) for address in self._database_addresses())
        around = Surroundings(self._own, frozenset(address for address in database if address))
        try:
            return read_containers(self.service, self._labels, inspected, around)
        except FAILURES as error:
            raise translate(error, self._engine.host, "read a container's state") from error


def _few(names: Collection[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(sorted(names)[:_MOST_NAMES]) + more


def _same(current: Replica, before: Replica) -> bool:
    return current.state is ReplicaState.RUNNING and current.started == before.started
