"""Which containers run at which addresses, as far as sessions can be told by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from remediator.core.networks import Networks, Spot, parsed
from remediator.core.trouble import Trouble

# An engine writes down a start when the program runs already, and by a clock that may be another one's.
SKEW = timedelta(seconds=2)


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
        published: Ports of its host that lead to it.
    """

    name: str
    service: str | None
    addresses: frozenset[str]
    started_at: datetime | None = None
    pooler: bool = False
    shared: bool = False
    published: frozenset[int] = frozenset()

    @property
    def since(self) -> datetime | None:
        """What began before this is not its own; None when its start is not known."""
        return None if self.started_at is None else self.started_at - SKEW


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
        age: Seconds since all this was found to be so; infinite when it never was.
        outlived: It is too old to tell who lives where: only the networks are remembered.
    """

    tenants: tuple[Tenant, ...] = ()
    former: tuple[Tenant, ...] = ()
    gateways: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    trouble: Trouble | None = None
    age: float = 0.0
    outlived: bool = False
    _now: Mapping[str, Tenant] = field(init=False, repr=False, compare=False)
    _once: Mapping[str, Tenant] = field(init=False, repr=False, compare=False)
    _networks: Networks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # What is looked up for each of thousands of sessions is worked out once.
        object.__setattr__(self, "_now", _by_address(self.tenants))
        object.__setattr__(self, "_once", _by_address((*self.former, *self.tenants)))
        object.__setattr__(self, "_networks", parsed(self.networks))

    @property
    def starts(self) -> Mapping[str, datetime]:
        """From when on a session can be of whoever has its address now, by address."""
        return {address: since for address, tenant in self._now.items() if (since := tenant.since)}

    def at(self, address: str | None) -> Tenant | None:
        """Who lives at an address now."""
        return None if address is None else self._now.get(address)

    def lived_at(self, address: str) -> Tenant | None:
        """Who lived at an address last, or was started again there."""
        return self._once.get(address)

    def within(self, where: Spot | None) -> bool:
        """Tell whether an address is on one of the containers' networks."""
        return where in self._networks

    def outlive(self) -> Directory:
        """What is left of it once it is too old to be believed."""
        return replace(self, tenants=(), former=(), outlived=True)


def _by_address(tenants: Iterable[Tenant]) -> Mapping[str, Tenant]:
    found: dict[str, Tenant] = {}
    for tenant in tenants:
        for address in tenant.addresses:
            found.setdefault(address, tenant)
    return found


EMPTY = Directory()
