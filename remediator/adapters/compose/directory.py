"""Which containers run at which addresses, read from the engine in the background."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

from remediator.adapters.compose.containers import (
    PROJECT,
    SERVICE,
    addresses,
    canonical,
    is_no_replica,
    labels_of,
    networks_of,
    section,
    started_at,
)
from remediator.adapters.compose.failure import FAILURES
from remediator.core.directory import EMPTY, Directory, Tenant
from remediator.core.trouble import Trouble, TroubleKind
from remediator.errors import RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from remediator.adapters.compose.client import DockerEngine

# What is older than this is read anew; until then a container may have been started again unseen.
FRESH = 10.0
# An engine answers within some milliseconds; who is slower is not waited for: samples come first.
_PATIENCE = 0.25
_FIRST = 2.0
_REMEMBERED = 64
# Programs whose sessions are those of their clients, by what their images are called.
_POOLERS = ("pgbouncer", "pgcat", "pgpool", "odyssey", "supavisor", "pgdog", "pgagroal")

Service = tuple[str, str]


class ComposeDirectory:
    """The containers that run on an engine, with their addresses; implements `Directories`.

    Args:
        engine: Where they run.
        services: Our names of services, by Compose's project and service.
    """

    def __init__(self, engine: DockerEngine, services: Mapping[Service, str]) -> None:
        self._engine = engine
        self._services = services
        self._latest = EMPTY
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def read(self) -> Directory:
        """Tell what is known, after a moment's wait for something newer."""
        now = asyncio.get_running_loop().time()
        if self._reading is None and (self._read_at is None or now - self._read_at >= FRESH):
            self._reading = asyncio.create_task(self._read())
        if self._reading is not None:
            patience = _FIRST if self._read_at is None else _PATIENCE
            await asyncio.wait((self._reading,), timeout=patience)
        return self._latest

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    async def _read(self) -> None:
        try:
            running = await self._engine.running()
        except (UnavailableError, RejectedError) as error:
            self._latest = replace(self._latest, trouble=Trouble(TroubleKind.UNREACHABLE, str(error)))
        else:
            try:
                self._latest = read_directory(running, self._services, self._latest)
            except FAILURES as error:
                self._latest = replace(self._latest, trouble=Trouble(TroubleKind.FAILED, repr(error)))
        finally:
            self._read_at = asyncio.get_running_loop().time()
            self._reading = None


def read_directory(
    inspected: Iterable[Mapping[str, Any]], services: Mapping[Service, str], before: Directory = EMPTY
) -> Directory:
    """Make the directory of the containers that run.

    Args:
        inspected: Answers of `GET /containers/ID/json`.
        services: Our names of services, by Compose's project and service.
        before: What was known before, whose containers are remembered.
    """
    containers = list(inspected)
    sharing = {_shares_with(one) for one in containers} - {None}
    tenants = tuple(_tenant(one, services, sharing) for one in containers)
    present = {(tenant.name, tenant.started_at) for tenant in tenants}
    gone = [t for t in before.tenants if (t.name, t.started_at) not in present]
    networks = [network for one in containers for network in networks_of(one)]
    return Directory(
        tenants=tenants,
        former=(*gone, *before.former)[:_REMEMBERED],
        gateways=_canonical(n.get(key) for n in networks for key in ("Gateway", "IPv6Gateway")),
        networks=frozenset(cidr for network in networks for cidr in _cidrs(network)),
    )


def _tenant(one: Mapping[str, Any], services: Mapping[Service, str], sharing: set[str | None]) -> Tenant:
    labels = labels_of(one)
    name = str(one["Name"]).removeprefix("/")
    service = services.get((labels.get(PROJECT, ""), labels.get(SERVICE, "")))
    if is_no_replica(labels):
        service = None  # `docker compose run`: no restart of the service would end its sessions
    shared = bool({str(one["Id"]), name} & sharing)
    if shared:
        # Two containers behind one address: whose a session is cannot be told by it.
        name, service = f"{name} (whose network others share)", None
    return Tenant(
        name=name,
        service=service,
        addresses=addresses(one),
        started_at=started_at(one),
        pooler=_is_pooler(one),
        shared=shared,
    )


def _shares_with(one: Mapping[str, Any]) -> str | None:
    kind, _, other = str(section(one, "HostConfig").get("NetworkMode", "")).partition(":")
    return other if kind == "container" else None


def _is_pooler(one: Mapping[str, Any]) -> bool:
    image = str(section(one, "Config").get("Image", "")).lower()
    program = image.partition("@")[0].rpartition("/")[2]
    return any(pooler in program for pooler in _POOLERS)


def _cidrs(network: Mapping[str, Any]) -> Iterable[str]:
    for address, length in (("IPAddress", "IPPrefixLen"), ("GlobalIPv6Address", "GlobalIPv6PrefixLen")):
        if network.get(address) and network.get(length):
            yield str(ip_interface(f"{network[address]}/{network[length]}").network)


def _canonical(found: Iterable[object]) -> frozenset[str]:
    return frozenset(c for address in found if (c := canonical(str(address or ""))))
