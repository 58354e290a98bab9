"""Inside real containers of several kinds: which one are we in?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from remediator.adapters.compose import own
from tests.testbed.engine import BASE_IMAGE, remove_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

    from tests.testbed.engine import DockerEngine

SOURCE = str(Path(own.__file__).resolve())
WHO = "import runpy; print(*runpy.run_path('/own.py')['read_own_ids']())"


@pytest.fixture
def run(docker_engine: DockerEngine) -> Iterator[Any]:
    """Start containers that print which container they are in; they are removed with the test."""
    started: list[Container] = []

    def start(*command: str, **options: Any) -> Container:
        container = docker_engine.client.containers.run(
            BASE_IMAGE, list(command), detach=True, volumes=[f"{SOURCE}:/own.py:ro"], **options
        )
        started.append(container)
        return container

    yield start
    for container in started:
        remove_container(container)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hostname": "remediator"},
        {"network_mode": "host"},
        {"network_mode": "none"},
        {"cgroupns": "private"},
        {"read_only": True, "user": "65534:65534", "cap_drop": ["ALL"]},
    ],
    ids=["default", "hostname", "host network", "no network", "cgroup namespace", "locked down"],
)
def test_our_own_container_is_known(run: Any, options: dict[str, Any]) -> None:
    """Whatever the hostname says."""
    container = run("python3", "-c", WHO, **options)
    assert container.wait(timeout=60)["StatusCode"] == 0
    assert container.logs().decode().split() == [container.id]


def test_a_shared_network_leaves_two_that_may_be_ours(run: Any) -> None:
    """The files are the other container's; whatever is told, the other one is part of it."""
    other = run("sleep", "3600")
    container = run("python3", "-c", WHO, network_mode=f"container:{other.id}")
    assert container.wait(timeout=60)["StatusCode"] == 0
    told = set(container.logs().decode().split())
    assert other.id in told
    assert told <= {other.id, container.id}
