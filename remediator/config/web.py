"""Schema of what the daemon serves: the status page and the metrics."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from remediator.config.scalars import Kind, text
from remediator.config.section import Section

_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")
_PORTS = range(1, 65536)
_HOST = r"(?!-)[A-Za-z0-9._-]{1,253}"


def address_of(listen: str) -> tuple[str, int]:
    """Read an address with its port: `127.0.0.1:9719`, `[::1]:9719`.

    Raises:
        ValueError: It is none; continues "the value ...".
    """
    match = _LISTEN.fullmatch(listen)
    wrong = ValueError("is not an address with a port, such as 127.0.0.1:9719 or [::1]:9719")
    if match is None or int(match["port"]) not in _PORTS:
        raise wrong
    try:
        address = ip_address(match["six"] or match["four"])
    except ValueError:
        raise wrong from None
    return str(address), int(match["port"])


def address_text(host: str, port: int) -> str:
    """Write an address with its port the way `address_of` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(value: str) -> str:
    return address_text(*address_of(value))


_ADDRESS = Kind(
    _listen, {"type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$"}, "address"
)
_NAME = text(_HOST, "is not a host name; it stands without a scheme, a port and a path", "host name")


class Web(Section):
    """The status page, `/metrics`, `/healthz` and `/readyz`: read-only, without a login."""

    listen: Annotated[str, _ADDRESS] = "127.0.0.1:9719"
    """Where it is served. Other machines can reach it only when this is one of the machine's addresses, or
    `0.0.0.0` or `[::]` for all of them."""
    allowed_hosts: tuple[Annotated[str, _NAME], ...] = ()
    """The names by which browsers and Prometheus may ask for it, besides `localhost` and addresses; any other
    is refused, so that no foreign web page can read it through a name of its own."""
