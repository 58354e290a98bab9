"""Which containers run at which addresses, read from the engine in the background."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from ipaddress import ip_interface
from math import inf
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
from remediator.core.directory import Directory, Tenant
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.vicinity import LASTS
from remediator.errors import RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from remediator.adapters.compose.client import DockerEngine

# What is older than this is read anew; until then a container may have been started again unseen.
FRESH = 10.0
# An engine answers within some milliseconds; who is slower is not waited for: samples come first.
_PATIENCE = 0.25
_FIRST = 2.0
# Of each service, of each other container, and of all other containers together.
_REMEMBERED_OF_ONE, _REMEMBERED_OF_OTHERS = 8, 64
# Programs whose sessions are those of their clients, by what their images are called.
_POOLERS = ("pgbouncer", "pgcat", "pgpool", "odyssey", "supavisor", "pgdog", "pgagroal")

Service = tuple[str, str]
NEVER_READ = Directory(age=inf)


class ComposeDirectory:
    """The containers that run on an engine, with their addresses; implements `Directories`.

    Args:
        engine: Where they run.
        services: Our names of services, by Compose's project and service.
    """

    def __init__(self, engine: DockerEngine, services: Mapping[Service, str]) -> None:
        self._engine = engine
        self._services = services
        self._latest = NEVER_READ
        self._read_at = -inf
        self._asked_at = -inf
        self._reading: asyncio.Task[None] | None = None
        self._inspected: Mapping[str, dict[str, Any]] = {}

    async def read(self) -> Directory:
        """Tell what is known, after a moment's wait for something newer."""
        loop = asyncio.get_running_loop()
        if self._reading is None and loop.time() - self._asked_at >= FRESH:
            self._reading = asyncio.create_task(self._read())
        if self._reading is not None:
            useless = loop.time() - self._read_at > LASTS
            patience = _FIRST if useless and self._latest.trouble is None else _PATIENCE
            await asyncio.wait((self._reading,), timeout=patience)
        return replace(self._latest, age=max(0.0, loop.time() - self._read_at))

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    async def _read(self) -> None:
        begun = asyncio.get_running_loop().time()
        try:
            running = await self._engine.running(self._known)
            self._latest = read_directory(running, self._services, self._latest)
        except (UnavailableError, RejectedError) as error:
            self._latest = replace(self._latest, trouble=Trouble(TroubleKind.UNREACHABLE, str(error)))
        except FAILURES as error:
            self._latest = replace(self._latest, trouble=Trouble(TroubleKind.FAILED, repr(error)))
        else:
            self._inspected = {str(one["Id"]): _gist(one) for one in running}
            self._read_at = begun
        finally:
            self._asked_at = asyncio.get_running_loop().time()
            self._reading = None

    def _known(self, listed: Mapping[str, Any]) -> dict[str, Any] | None:
        one = self._inspected.get(str(listed["Id"]))
        return one if one is not None and unchanged(one, listed) else None


def _gist(one: Mapping[str, Any]) -> dict[str, Any]:
    """What is needed of a container; the rest is large, and its environment may hold passwords."""
    sections = {
        "State": ("Running", "Restarting", "StartedAt"),
        "Config": ("Image", "Labels"),
        "HostConfig": ("NetworkMode",),
        "NetworkSettings": ("Networks", "Ports"),
    }
    kept = {name: {key: section(one, name).get(key) for key in keys} for name, keys in sections.items()}
    return {"Id": one["Id"], "Name": one["Name"], **kept}


def unchanged(inspected: Mapping[str, Any], listed: Mapping[str, Any]) -> bool:
    """Tell from what the list says of a container whether inspecting it again would tell the same.

    With each start a container gets new endpoints on its networks, and an endpoint's id is used only once.

    Args:
        inspected: The answer of `GET /containers/ID/json`.
        listed: What `GET /containers/json` says now.
    """
    state = section(inspected, "State")
    if not state.get("Running") or state.get("Restarting"):
        return False
    before, now = _endpoints(inspected), _endpoints(listed)
    named = inspected["Name"] in (listed.get("Names") or ())
    return named and before == now and all(endpoint for endpoint, *_ in now.values())


def _endpoints(one: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The endpoint's id and the addresses on each network on which there are any."""
    keys = ("EndpointID", "IPAddress", "GlobalIPv6Address")
    networks = section(one, "NetworkSettings", "Networks").items()
    found = {name: tuple(str((network or {}).get(key) or "") for key in keys) for name, network in networks}
    return {name: told for name, told in found.items() if any(told[1:])}


def read_directory(
    inspected: Iterable[Mapping[str, Any]], services: Mapping[Service, str], before: Directory = NEVER_READ
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
        former=remembered((*gone, *before.former)),
        gateways=_canonical(n.get(key) for n in networks for key in ("Gateway", "IPv6Gateway")),
        networks=frozenset(cidr for network in networks for cidr in _cidrs(network)),
    )


def remembered(gone: Iterable[Tenant]) -> tuple[Tenant, ...]:
    """Choose whom to remember of those who are gone, latest first.

    One whose addresses all had others after it tells nothing more. A service, or a container, that
    starts again and again does not push others out, nor do containers that belong to no service.
    """
    kept: list[Tenant] = []
    taken: set[str] = set()
    of_one: Counter[tuple[bool, str]] = Counter()
    others = 0
    for tenant in gone:
        one = (tenant.service is None, tenant.service or tenant.name)
        full = of_one[one] >= _REMEMBERED_OF_ONE or (
            tenant.service is None and others >= _REMEMBERED_OF_OTHERS
        )
        if full or tenant.addresses <= taken:
            continue
        kept.append(tenant)
        taken |= tenant.addresses
        of_one[one] += 1
        others += tenant.service is None
    return tuple(kept)


def _tenant(one: Mapping[str, Any], services: Mapping[Service, str], sharing: set[str | None]) -> Tenant:
    labels = labels_of(one)
    name = str(one["Name"]).removeprefix("/")
    service = services.get((labels.get(PROJECT, ""), labels.get(SERVICE, "")))
    if is_no_replica(labels):
        service = None  # `docker compose run`: no restart of the service would end its sessions
    return Tenant(
        name=name,
        service=service,
        addresses=addresses(one),
        started_at=started_at(one),
        pooler=_is_pooler(one),
        shared=bool({str(one["Id"]), name} & sharing),
        published=_published(one),
    )


def _shares_with(one: Mapping[str, Any]) -> str | None:
    kind, _, other = str(section(one, "HostConfig").get("NetworkMode", "")).partition(":")
    return other if kind == "container" else None


def _published(one: Mapping[str, Any]) -> frozenset[int]:
    """The host's ports that lead to a container, whichever of the host's addresses they are open on."""
    bindings = section(one, "NetworkSettings", "Ports").values()
    ports = (str(binding.get("HostPort") or "") for bound in bindings for binding in bound or ())
    return frozenset(int(port) for port in ports if port.isdecimal())


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
