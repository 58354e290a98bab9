"""Who lives at which address: containers come and go, and the lowest free address is given away next."""

from __future__ import annotations

from collections.abc import Mapping

from remediator.core.directory import Directory, Tenant
from remediator.core.model import Replica, ReplicaState
from tests.simulation.world import HOST, SimRuntime

_NETWORK = "10.1.0.0/16"


class Addresses:
    """The addresses of one network."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def take(self, name: str) -> str:
        """Give a new container of this name an address; that of the one before is free from now on."""
        self._taken.pop(name, None)
        taken = set(self._taken.values())
        number = next(n for n in range(2, 1000) if f"10.1.{n // 250}.{n % 250}" not in taken)
        self._taken[name] = address = f"10.1.{number // 250}.{number % 250}"
        return address


class SimDirectory:
    """Tells who lives where, as the engine would; a container is read anew only when it has changed."""

    def __init__(self, runtimes: Mapping[str, SimRuntime]) -> None:
        self._runtimes = runtimes
        self._seen: list[Replica] = []
        self._kept = Directory()

    async def read(self) -> Directory:
        """Tell what is known."""
        seen = [replica for runtime in self._runtimes.values() for replica in runtime.look()]
        if seen != self._seen:
            self._seen = seen
            running = (replica for replica in seen if replica.state is ReplicaState.RUNNING)
            tenants = tuple(Tenant(r.name, r.service, r.addresses, r.started_at) for r in running)
            self._kept = Directory(tenants, (), frozenset({HOST}), frozenset({_NETWORK}))
        return self._kept

    async def close(self) -> None:
        """Nothing to close."""
