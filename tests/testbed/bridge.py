"""A PostgreSQL server that containers on the engine's default network can reach."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from tests.testbed.postgres import PostgresServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.engine import DockerEngine

_RULES = """\
local all all trust
host all all samenet scram-sha-256
"""


def bridge_address(engine: DockerEngine) -> str:
    """This machine's address on the engine's default network."""
    [network] = engine.client.networks.list(names=["bridge"])
    [config] = network.attrs["IPAM"]["Config"]
    # The engine tells the gateway only if it was configured; by default it is the first address.
    return str(config.get("Gateway") or ip_network(config["Subnet"])[1])


def postgres_on_bridge(engine: DockerEngine, version: int, bin_dir: Path) -> PostgresServer:
    """Make a server that listens on the engine's default network instead of loopback; it does not run yet.

    Args:
        engine: Whose containers are to reach it.
        version: The major version.
        bin_dir: Where `postgres` and `initdb` are.
    """
    server = PostgresServer(version, bin_dir)
    server.host = bridge_address(engine)
    rules = server.directory / "bridge_hba.conf"
    rules.write_text(_RULES)
    rules.chmod(0o644)
    server.settings["hba_file"] = str(rules)
    return server
