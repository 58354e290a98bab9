"""Whose session it is, as far as that can be told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OwnerKind(StrEnum):
    """How much is known about whoever holds a session. Values are stable: they appear in output."""

    SERVICE = "service"
    CLIENT = "client"
    CONTAINER = "container"
    ORPHAN = "orphan"
    POOLER = "pooler"
    SHARED = "shared"
    HOST = "host"
    LOCAL = "local"
    UNATTRIBUTED = "unattributed"


_WORDS = {
    OwnerKind.SERVICE: "{}",
    OwnerKind.CLIENT: "{}",
    OwnerKind.CONTAINER: "container {}",
    OwnerKind.ORPHAN: "orphans of {}",
    OwnerKind.POOLER: "pooler {}",
    OwnerKind.SHARED: "shared network of {}",
    OwnerKind.HOST: "through the host",
    OwnerKind.LOCAL: "this machine",
    OwnerKind.UNATTRIBUTED: "unattributed",
}


# There may be ever new ones of these, with names of their own.
_MANY = {
    OwnerKind.CONTAINER: "other containers",
    OwnerKind.ORPHAN: "orphans",
    OwnerKind.POOLER: "poolers",
    OwnerKind.SHARED: "shared networks",
}


def folded(label: str) -> str:
    """An owner's label, with one for all containers, one for all orphans, and so on."""
    kinds = (kind for kind in _MANY if label.startswith(_WORDS[kind].partition("{}")[0]))
    return next((_MANY[kind] for kind in kinds), label)


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Who holds a session.

    Attributes:
        kind: `SERVICE` is one of the config's services, `CLIENT` one of its named clients, `CONTAINER`
            one that belongs to neither. An `ORPHAN`'s container has ended or was started again since.
            Who is behind a `POOLER`, comes from the network of a container that others have `SHARED`, or
            through the `HOST` (a published port, host networking), cannot be told by the address.
        name: Of the service, client or container; empty where there is none.
    """

    kind: OwnerKind = OwnerKind.UNATTRIBUTED
    name: str = ""

    @property
    def known(self) -> bool:
        """Whether it tells more than that nothing can be told."""
        return self.kind not in (OwnerKind.LOCAL, OwnerKind.UNATTRIBUTED)

    @property
    def label(self) -> str:
        """The owner in words."""
        return _WORDS[self.kind].format(self.name or "a container that is gone")


UNATTRIBUTED = Owner()
