"""From addresses and names to the owners of sessions. What cannot be told is said, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TypeVar

from remediator.core.directory import EMPTY, Directory, Tenant
from remediator.core.model import Sample, Session, SessionGroup
from remediator.core.owner import UNATTRIBUTED, Owner, OwnerKind

# Two clocks on one machine are one clock; over a network they may be apart by as much as this.
SKEW = timedelta(seconds=2)
_Owned = TypeVar("_Owned", Session, SessionGroup)
_LOCAL = Owner(OwnerKind.LOCAL)
_LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose sessions look like this, said by the operator; every pattern that is given must fit.

    Attributes:
        owner: Whose they are; a pooler's are said to be its clients'.
        users: Shell-style patterns, case-sensitive; empty fits all.
        applications: The same for `application_name`.
        addresses: Addresses and networks in CIDR notation; empty fits all.
    """

    owner: Owner
    users: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def fits(self, user: str, application: str, address: str | None) -> bool:
        """Tell whether a session looks like this."""
        return (
            (not self.users or any(fnmatchcase(user, pattern) for pattern in self.users))
            and (not self.applications or any(fnmatchcase(application, p) for p in self.applications))
            and (not self.addresses or (address is not None and _within(address, self.addresses)))
        )


@dataclass(frozen=True, slots=True)
class Attribution:
    """Tells the owners of sessions.

    Where an address is that of a service's container, that decides: a name can be set to anything. Only
    who shares an address with others, or has none that is known, is told by the operator's claims.

    Attributes:
        directory: Who lives where.
        claims: The operator's, the first that fits counts.
    """

    directory: Directory = EMPTY
    claims: Sequence[Claim] = ()

    def owner(self, address: str | None, user: str, application: str, begun: datetime | None) -> Owner:
        """Tell whose session this is.

        Args:
            address: Where it comes from, None for a local socket.
            user: The role.
            application: Its `application_name`.
            begun: When it began, None when that is not known.
        """
        by_address = self._lives_at(address, begun)
        if by_address.kind in (OwnerKind.SERVICE, OwnerKind.ORPHAN):
            return by_address
        if not self.claims:
            return by_address
        # Behind its own address a container is itself, whatever name it gives: it cannot pass for a service.
        itself = by_address.kind is OwnerKind.CONTAINER and not self._shared(address)
        claimed = (
            claim.owner
            for claim in self.claims
            if claim.fits(user, application, address)
            and not (itself and claim.owner.kind is OwnerKind.SERVICE)
        )
        return next(claimed, by_address)

    def of_sample(self, sample: Sample) -> Sample:
        """The sample with the owner of each group of sessions."""
        owned = (_owned(g, self.owner(g.address, g.user, g.application, g.oldest)) for g in sample.groups)
        groups = tuple(owned)
        return sample if groups == sample.groups else replace(sample, groups=groups)

    def of_sessions(self, sessions: Sequence[Session]) -> tuple[Session, ...]:
        """The sessions with their owners."""
        return tuple(
            _owned(s, self.owner(s.address, s.user or "", s.application, s.id.backend_start))
            for s in sessions
        )

    def _shared(self, address: str | None) -> bool:
        return any(tenant.shared for tenant in self.directory.tenants if address in tenant.addresses)

    def _lives_at(self, address: str | None, begun: datetime | None) -> Owner:
        if address is None or _within(address, _LOOPBACK):
            return _LOCAL
        directory = self.directory
        if directory is EMPTY:
            return UNATTRIBUTED
        for tenant in directory.tenants:
            if address in tenant.addresses:
                return _of(tenant, begun) or self._orphan(address)
        if address in directory.gateways:
            return Owner(OwnerKind.HOST)
        if _within(address, tuple(sorted(directory.networks))):
            return self._orphan(address)
        return UNATTRIBUTED

    def _orphan(self, address: str) -> Owner:
        known = (*self.directory.former, *self.directory.tenants)
        before = next((t for t in known if address in t.addresses), None)
        return Owner(OwnerKind.ORPHAN, "" if before is None else before.service or before.name)


def _owned(value: _Owned, owner: Owner) -> _Owned:
    return value if value.owner == owner else replace(value, owner=owner)


def _of(tenant: Tenant, begun: datetime | None) -> Owner | None:
    """The owner by its container, None for a session from before the container was started."""
    if tenant.started_at is not None and begun is not None and begun < tenant.started_at - SKEW:
        return None
    if tenant.pooler:
        return Owner(OwnerKind.POOLER, tenant.service or tenant.name)
    if tenant.service is not None:
        return Owner(OwnerKind.SERVICE, tenant.service)
    return Owner(OwnerKind.CONTAINER, tenant.name)


NOBODY = Attribution()


@lru_cache(maxsize=4096)
def _within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(parsed in ip_network(network, strict=False) for network in networks)
