"""Who lives at which address on a real engine: networks, replicas, restarts, what no address can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remediator.adapters.compose import ComposeDirectory, DockerEngine
from remediator.adapters.compose import directory as under_test
from remediator.core.attribution import Attribution
from remediator.core.directory import SKEW
from remediator.core.owner import Owner, OwnerKind
from tests.testbed.engine import BUSYBOX_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from docker.models.containers import Container

    from remediator.core.directory import Directory, Tenant
    from tests.conftest import MakeProject
    from tests.testbed import engine as testbed

PROJECT = f"""
x-sleep: &sleep
  image: {BUSYBOX_IMAGE}
  command: sleep 3600
  stop_signal: SIGKILL

services:
  api:
    <<: *sleep
    networks: [one, two]
    deploy: {{replicas: 2}}
  other:
    <<: *sleep
    networks: [one]
  sidecar:
    <<: *sleep
    network_mode: service:other
  bouncer:
    <<: *sleep
    image: ${{POOLER_IMAGE}}
    networks: [one]
  onhost:
    <<: *sleep
    network_mode: host

networks:
  one: {{}}
  two:
    enable_ipv6: true
    ipam: {{config: [{{subnet: "fd00:7ea:${{SUBNET}}::/64"}}]}}
"""


@pytest.fixture
def project(
    compose_project: MakeProject,
    docker_engine: testbed.DockerEngine,
    tmp_path: Path,
) -> Iterator[testbed.ComposeProject]:
    """The project above, running."""
    subnet = f"{abs(hash(str(tmp_path))) % 0xFFFF:x}"
    image = f"remediator-test/pgbouncer:{subnet}"
    docker_engine.client.images.get(BUSYBOX_IMAGE).tag(image)
    made = compose_project(PROJECT.replace("${POOLER_IMAGE}", image).replace("${SUBNET}", subnet))
    yield made
    made.remove()
    docker_engine.client.images.remove(image, noprune=True)


@pytest.fixture
def engine(docker_engine: testbed.DockerEngine) -> Iterator[DockerEngine]:
    """The engine as remediator sees it, in a dry run."""
    found = DockerEngine(docker_engine.url, read_only=True)
    yield found
    found.close()


def addresses(container: Container) -> list[str]:
    """The addresses the engine gave a container."""
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    given = (network[key] for network in networks for key in ("IPAddress", "GlobalIPv6Address"))
    return [address for address in given if address]


def tenant(directory: Directory, container: Container) -> Tenant:
    """A container's entry."""
    (found,) = [t for t in directory.tenants if (container.name or "") in t.name]
    return found


def owner(directory: Directory, address: str, begun: datetime | None = None) -> Owner:
    """Whose a session from an address is."""
    return Attribution(directory).owner(address, "shop", "", begun)


async def test_addresses_tell_who_is_who(
    project: testbed.ComposeProject, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every replica on every network; what shares an address, pools, or comes through the host is said."""
    monkeypatch.setattr(under_test, "FRESH", 0.0)
    monkeypatch.setattr(under_test, "_PATIENCE", 10.0)
    book = ComposeDirectory(engine, {(project.name, "api"): "web", (project.name, "other"): "other"})
    directory = await book.read()
    assert directory.trouble is None

    replicas = project.containers("api")
    seen = [address for replica in replicas for address in addresses(replica)]
    assert len(seen) == 2 * 3, "two networks, one of them with IPv6 besides"
    assert {owner(directory, address) for address in seen} == {Owner(OwnerKind.SERVICE, "web")}

    (shared,) = addresses(project.container("other"))
    assert owner(directory, shared).kind is OwnerKind.CONTAINER
    assert "others share" in owner(directory, shared).name
    (pooled,) = addresses(project.container("bouncer"))
    assert owner(directory, pooled).kind is OwnerKind.POOLER
    assert addresses(project.container("onhost")) == []
    networks = project.container("bouncer").attrs["NetworkSettings"]["Networks"]
    gateway = networks[f"{project.name}_one"]["Gateway"]
    assert owner(directory, gateway) == Owner(OwnerKind.HOST)

    replica = replicas[0]
    before = tenant(directory, replica)
    replica.restart(timeout=0)
    directory = await book.read()
    after = tenant(directory, replica)
    assert before.started_at is not None
    assert after.started_at is not None
    assert after.started_at > before.started_at
    assert owner(directory, addresses(replica)[0], after.started_at) == Owner(OwnerKind.SERVICE, "web")
    assert owner(directory, addresses(replica)[0], after.started_at - 2 * SKEW) == Owner(
        OwnerKind.ORPHAN, "web"
    )

    address = addresses(replica)[0]
    replica.remove(force=True)
    directory = await book.read()
    assert owner(directory, address) == Owner(OwnerKind.ORPHAN, "web"), "it is remembered who lived there"
    await book.close()


async def test_an_engine_that_is_not_there_is_told_and_costs_no_sample_its_time() -> None:
    """What was known stays known; nobody is asked for ever."""
    engine = DockerEngine("unix:///nonexistent/docker.sock", read_only=True)
    book = ComposeDirectory(engine, {})
    directory = await book.read()
    assert directory.trouble is not None
    assert directory.tenants == ()
    await book.close()
    engine.close()
