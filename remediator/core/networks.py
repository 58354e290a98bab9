"""Networks that are parsed once, and asked for thousands of addresses that are parsed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network

Spot = tuple[int, int]
"""An address as its IP version and its number."""


@lru_cache(maxsize=10_000)
def spot(address: str | None) -> Spot | None:
    """Parse an address; None for what is no address."""
    if address is None:
        return None
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return found.version, int(found)


@dataclass(frozen=True, slots=True)
class Networks:
    """Some networks, of both kinds of addresses.

    Attributes:
        prefixes: The networks' leading bits, by IP version and by how many bits follow.
    """

    prefixes: Mapping[tuple[int, int], frozenset[int]] = field(default_factory=dict)

    def __contains__(self, where: Spot | None) -> bool:
        """Tell whether an address is in one of them; what is no address is in none."""
        if where is None:
            return False
        version, number = where
        return any(
            number >> rest in leading for (kind, rest), leading in self.prefixes.items() if kind == version
        )


def parsed(networks: Iterable[str]) -> Networks:
    """Parse networks in CIDR notation; a single address is a network of its own.

    Raises:
        ValueError: One of them is neither.
    """
    found: dict[tuple[int, int], set[int]] = {}
    for one in (ip_network(network, strict=False) for network in networks):
        rest = one.max_prefixlen - one.prefixlen
        found.setdefault((one.version, rest), set()).add(int(one.network_address) >> rest)
    return Networks({key: frozenset(leading) for key, leading in found.items()})


LOOPBACK = parsed(("127.0.0.0/8", "::1/128"))
