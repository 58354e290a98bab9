"""Whether the addresses that a server sees are those that the container engine gave out."""

from __future__ import annotations

from math import inf

from remediator.core.directory import Directory
from remediator.core.networks import LOOPBACK, spot
from remediator.core.server import Route, Server

LASTS = 60.0
"""Seconds after which a directory is not believed any more: an address may be another's by then."""


def believable(directory: Directory, server: Server) -> tuple[Directory, str]:
    """Make of a directory what sessions of this server may be told by.

    Returns:
        The directory, or what is left of it, and why it is not all of it; empty when it is.
    """
    elsewhere = _elsewhere(directory, server) if directory.age < inf else ""
    if elsewhere:
        return Directory(), elsewhere
    silent = silence(directory)
    return (directory.outlive(), silent) if silent else (directory, "")


def silence(directory: Directory) -> str:
    """Say why a directory is too old to be believed; empty when it is not."""
    if directory.age <= LASTS:
        return ""
    why = "no answer yet" if directory.trouble is None else directory.trouble.detail
    return f"where containers run is not known: {why}"


def _elsewhere(directory: Directory, server: Server) -> str:
    """Say why the server is not shown to see this engine's addresses; empty when it is.

    Private addresses are the same on many machines, so that the server's own address proves nothing.
    """
    if server.address is None:
        return ""  # a unix socket
    route = server.route
    if route is None:
        return f"the way to the server at {server.address} is not known"
    if route.direct:
        # What is sent to an address of our own machine does not leave it. Else we are a container, or the
        # host on a network of its containers, and are seen as such.
        among = route.ours in directory.gateways or directory.at(route.ours) is not None
        if route.ours == route.dialled or (route.seen == route.ours and among):
            return ""
        return f"the server at {server.address} is not shown to run beside the Docker engine"
    if _published(directory, server.address, route):
        return ""
    return (
        f"{route.dialled} port {route.port} leads to {server.address} by a way that is not known: a proxy, a "
        "tunnel, or an engine on another machine"
    )


def _published(directory: Directory, address: str, route: Route) -> bool:
    """Tell whether it is reached through a port that a container of this engine has on this machine."""
    tenant = directory.at(address)
    here = (
        spot(route.dialled) in LOOPBACK or route.dialled in directory.gateways or route.dialled == route.ours
    )
    return tenant is not None and here and route.port in tenant.published
