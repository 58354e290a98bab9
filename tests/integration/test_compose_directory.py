"""Who lives at which address on a real engine: networks, replicas, restarts, what no address can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from remediator.adapters.compose import ComposeDirectory, DockerEngine
from remediator.adapters.compose import directory as under_test
from remediator.adapters.compose.containers import started_at
from remediator.core.attribution import Attribution
from remediator.core.directory import SKEW
from remediator.core.owner import Owner, OwnerKind
from tests.testbed.engine import BUSYBOX_IMAGE
from tests.testbed.sockets import Forwarder
from tests.testbed.waiting import wait_until

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
    assert owner(directory, shared) == Owner(OwnerKind.SHARED, "other")
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


async def test_only_what_has_changed_is_inspected_again(
    compose_project: MakeProject,
    docker_engine: testbed.DockerEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kind of start is noticed, whoever makes it, and so are a new name and another network."""
    monkeypatch.setattr(under_test, "FRESH", 0.0)
    monkeypatch.setattr(under_test, "_PATIENCE", 10.0)
    project = compose_project(CHANGING)
    changing, still = (project.container(name) for name in ("changing", "still"))
    client = docker_engine.client
    with Forwarder(tmp_path / "docker.sock", docker_engine.url) as forwarder:
        engine = DockerEngine(forwarder.url, read_only=True)
        book = ComposeDirectory(engine, {})

        async def inspected(container: Container) -> bool:
            """Whether a container is inspected when the directory is read now; then it is as it is told."""
            before = len(forwarder.requests)
            directory = await book.read()
            assert (directory.trouble, directory.age < 10) == (None, True)
            container.reload()
            entry = next(t for t in directory.tenants if t.name == container.name)
            assert entry.started_at == started_at(container.attrs)
            assert entry.addresses == frozenset(addresses(container))
            return any(f"/{container.id}/" in line for line in forwarder.requests[before:])

        async def noticed() -> None:
            """The change is noticed, once, and the other container is left alone."""
            assert await inspected(changing)
            assert not await inspected(changing)
            assert not await inspected(still)

        assert await inspected(still)
        assert not await inspected(changing)
        changing.restart(timeout=0)
        await noticed()
        changing.stop(timeout=0)
        changing.start()
        await noticed()
        changing.pause()
        assert not await inspected(changing)
        changing.unpause()
        before = changing.attrs["State"]["StartedAt"]
        changing.exec_run(["kill", "-9", "-1"])  # its policy starts it again
        wait_until(lambda: state(changing)["StartedAt"] != before, what="another start")
        await noticed()
        client.networks.get(f"{project.name}_other").connect(changing)
        await noticed()
        changing.rename(f"{changing.name}-renamed")
        changing.reload()
        await noticed()
        await book.close()
        engine.close()


def state(container: Container) -> dict[str, Any]:
    """What the engine says of a container's state now."""
    container.reload()
    return dict(container.attrs["State"])


CHANGING = f"""
services:
  changing:
    image: {BUSYBOX_IMAGE}
    command: [sh, -c, "sleep 3600 & wait"]
    init: true
    restart: always
  still:
    image: {BUSYBOX_IMAGE}
    command: [sleep, "3600"]
    stop_signal: SIGKILL
    networks: [default, other]
networks: {{other: {{}}}}
"""


async def test_an_engine_that_is_not_there_is_told_and_costs_no_sample_its_time() -> None:
    """What was known stays known; nobody is asked for ever."""
    engine = DockerEngine("unix:///nonexistent/docker.sock", read_only=True)
    book = ComposeDirectory(engine, {})
    directory = await book.read()
    assert directory.trouble is not None
    assert directory.tenants == ()
    await book.close()
    engine.close()
