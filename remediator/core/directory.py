"""Which containers run at which addresses, as far as sessions can be told by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remediator.core.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Tenant:
    """A container that has, or had, addresses of its own.

    Attributes:
        name: The container's name.
        service: The config's name of the service it belongs to, None for other containers.
        addresses: On all of its networks, each written the canonical way.
        started_at: When it was started last, by its host's clock; None when that is not known.
        pooler: It is a connection pooler: its sessions are those of its clients.
        shared: Other containers use its network, and so its addresses.
    """

    name: str
    service: str | None
    addresses: frozenset[str]
    started_at: datetime | None = None
    pooler: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Directory:
    """Who lives where on one container host.

    Attributes:
        tenants: Containers that run.
        former: Containers that were seen earlier and run no more, latest first.
        gateways: The host's own addresses on the containers' networks: who comes from there came through
            a published port, or runs on the host itself.
        networks: The containers' networks, in CIDR notation.
        trouble: Why there is nothing, or nothing newer.
    """

    tenants: tuple[Tenant, ...] = ()
    former: tuple[Tenant, ...] = ()
    gateways: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    trouble: Trouble | None = None

    @property
    def starts(self) -> Mapping[str, datetime]:
        """When whoever has an address now was started, by address."""
        return {
            address: tenant.started_at
            for tenant in self.tenants
            if tenant.started_at is not None
            for address in tenant.addresses
        }


EMPTY = Directory()
