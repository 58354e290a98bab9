"""From addresses and names to the owners of sessions. What cannot be told is said, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TypeVar

from remediator.core.directory import EMPTY, Directory, Tenant
from remediator.core.model import Sample, Session, SessionGroup
from remediator.core.networks import LOOPBACK, Networks, Spot, parsed, spot
from remediator.core.owner import UNATTRIBUTED, Owner, OwnerKind

_Owned = TypeVar("_Owned", Session, SessionGroup)
_LOCAL = Owner(OwnerKind.LOCAL)


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
    _networks: Networks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_networks", parsed(self.addresses))

    def fits(self, user: str, application: str, where: Spot | None) -> bool:
        """Tell whether a session looks like this."""
        return (
            (not self.users or any(fnmatchcase(user, pattern) for pattern in self.users))
            and (not self.applications or any(fnmatchcase(application, p) for p in self.applications))
            and (not self.addresses or where in self._networks)
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
        where = spot(address)
        by_address = self._lives_at(address, where, begun)
        if by_address.kind in (OwnerKind.SERVICE, OwnerKind.ORPHAN):
            return by_address
        if not self.claims:
            return by_address
        itself = self._itself(address, where)
        claimed = (
            claim.owner
            for claim in self.claims
            if claim.fits(user, application, where) and not (itself and claim.owner.kind is OwnerKind.SERVICE)
        )
        return next(claimed, by_address)

    def of_sample(self, sample: Sample) -> Sample:
        """The sample with the owner of each group of sessions."""
        owned = (_owned(g, self.owner(g.address, g.user, g.application, g.oldest)) for g in sample.groups)
        groups = tuple(owned)
        return sample if groups == sample.groups else replace(sample, groups=groups)

    def of_sessions(self, sessions: Sequence[Session]) -> tuple[Session, ...]:
        """The sessions with their owners; of thousands that are alike, it is found out once."""
        found: dict[tuple[str | None, str | None, str, bool], Owner] = {}
        owned = []
        for s in sessions:
            tenant, begun = self.directory.at(s.address), s.id.backend_start
            before = tenant is not None and tenant.since is not None and begun < tenant.since
            alike = (s.address, s.user, s.application, before)
            if alike not in found:
                found[alike] = self.owner(s.address, s.user or "", s.application, begun)
            owned.append(_owned(s, found[alike]))
        return tuple(owned)

    def _itself(self, address: str | None, where: Spot | None) -> bool:
        """Tell whether a session cannot pass for a service's, whatever name it gives.

        Behind its own address a container is itself, also while it is forgotten which one.
        """
        if self.directory.outlived:
            return address not in self.directory.gateways and self.directory.within(where)
        tenant = self.directory.at(address)
        return tenant is not None and not tenant.pooler and not tenant.shared

    def _lives_at(self, address: str | None, where: Spot | None, begun: datetime | None) -> Owner:
        if address is None or where in LOOPBACK:
            return _LOCAL
        directory = self.directory
        tenant = directory.at(address)
        if tenant is not None:
            return _of(tenant, begun) or self._orphan(address)
        if address in directory.gateways:
            return Owner(OwnerKind.HOST)
        if directory.within(where) and not directory.outlived:
            return self._orphan(address)
        return UNATTRIBUTED

    def _orphan(self, address: str) -> Owner:
        before = self.directory.lived_at(address)
        return Owner(OwnerKind.ORPHAN, "" if before is None else before.service or before.name)


def _owned(value: _Owned, owner: Owner) -> _Owned:
    return value if value.owner == owner else replace(value, owner=owner)


def _of(tenant: Tenant, begun: datetime | None) -> Owner | None:
    """The owner by its container, None for a session from before the container was started."""
    since = tenant.since
    if since is not None and begun is not None and begun < since:
        return None
    if tenant.pooler:
        return Owner(OwnerKind.POOLER, tenant.service or tenant.name)
    if tenant.shared:
        return Owner(OwnerKind.SHARED, tenant.service or tenant.name)
    if tenant.service is not None:
        return Owner(OwnerKind.SERVICE, tenant.service)
    return Owner(OwnerKind.CONTAINER, tenant.name)


NOBODY = Attribution()
