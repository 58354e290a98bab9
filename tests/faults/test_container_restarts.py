"""Containers that are slow, stubborn, broken or somebody else's business while they are restarted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Figure
from tests.testbed.composed import (
    Composed,
    Service,
    daemon_for,
    pressure,
    restarts,
    started_at,
)
from tests.testbed.daemon import Daemon, Record, ladder, merged
from tests.testbed.engine import DockerEngine
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.web import ask, free_port

MakeShop = Callable[..., Composed]

SLOW = "echo stopping >> $$d; sleep 2"
OFTEN: Record = {"limits": {"restart": {"per_service": "10 per 30m", "per_day": 50}, "failed_rounds": 50}}

ALL: Record = {"limits": {"restart": {"per_step": "100%"}}}


@pytest.fixture
def make_shop(docker_engine: DockerEngine, tmp_path: Path) -> Iterator[MakeShop]:
    """Start projects; everything of theirs is removed with the test."""
    shops: list[Composed] = []

    def make(*services: Service, up: tuple[str, ...] = ()) -> Composed:
        shop = Composed(docker_engine, tmp_path / f"shop{len(shops)}", *services)
        shops.append(shop)
        shop.up(*up)
        return shop

    yield make
    for shop in shops:
        shop.remove()


def outcome_of(daemon: Daemon, service: str, times: int = 1) -> Record:
    """Wait for the outcome of a restart of a service."""
    return daemon.wait_for("action_finished", times=times, action="restart", service=service)


def test_a_worker_finishes_its_task_and_a_stubborn_one_is_killed_in_its_own_time(
    make_shop: MakeShop, server: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    """Each container has the time it was promised.

    Given a worker whose task takes longer than our own patience, one that ignores SIGTERM, and one that was
    promised nothing, when each is restarted, then the first one's task is done, the second is killed after
    its own time, and `doctor` has warned of the two whose time is short.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    task = "echo begun >> $$d; for i in 1 2 3 4 5; do sleep 1; done; echo done >> $$d"
    shop = make_shop(
        Service("worker", on_term=task, grace="45s"),
        Service("stubborn", on_start="trap : TERM", grace="1s"),
        Service("unset", grace=None),
    )
    worker, stubborn = shop.container("worker"), shop.container("stubborn")
    impatient = {"worker": {"verify": {"within": "1s"}}}
    daemon = daemon_for(tmp_path / "daemon", watch, shop, services=impatient, policy=OFTEN)
    doctor = daemon.run("doctor").stdout
    said = [line for line in doctor.splitlines() if "stop grace period" in line]
    assert ["work in flight may be lost" in line for line in said] == [False, True, True], doctor
    with daemon, pressure(app):
        finished = outcome_of(daemon, "worker")
        figure(
            "task of 5 s done, with 1 s of patience", f"{finished['seconds']:.1f} s, {finished['outcome']}"
        )
        assert finished["outcome"] == "confirmed"
        assert shop.diary(worker) == ["start", "begun", "done", "end", "start"]

        finished = outcome_of(daemon, "stubborn")
        figure("a container with 1 s that ignores SIGTERM", f"{finished['seconds']:.1f} s")
        assert finished["outcome"] == "confirmed"
        assert shop.diary(stubborn) == ["start", "start"]


BROKEN = {
    "crash loop": Service(
        on_start="[ $$n = 1 ] || [ -e /diary/mended ] || exit 1", grace="1s", more={"restart": "always"}
    ),
    "unhealthy": Service(
        on_start="[ $$n = 1 ] || [ -e /diary/mended ] || touch /ill",
        grace="1s",
        more={"healthcheck": {"test": ["CMD", "test", "!", "-e", "/ill"], "interval": "300ms", "retries": 1}},
    ),
    "exits": Service(on_start="[ $$n = 1 ] || [ -e /diary/mended ] || exit 1", grace="1s"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_does_not_come_up_again_is_locked_until_acknowledged(
    how: str, make_shop: MakeShop, server: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    """A person is told, and nothing more is done to the service before that person says so.

    Given a service that is broken after its restart, when that is seen, then it is refuted and locked, with
    an event of error severity; only `remediator ack` lets it be restarted again.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(BROKEN[how])
    daemon = daemon_for(tmp_path / "daemon", watch, shop, policy=OFTEN)
    with daemon, pressure(app):
        finished = outcome_of(daemon, "web")
        figure("refuted after", f"{finished['seconds']:.1f} s: {finished['detail']}")
        assert finished["outcome"] == "refuted"
        locked = daemon.wait_for("locked", scope="service:web")
        assert (locked["severity"], finished["detail"] in locked["because"]) == ("error", True)

        (shop.directory / "diary" / "mended").touch()
        shop.compose("up", "--detach", "--force-recreate", "--timeout", "0")
        daemon.wait_cycles(12)
        assert restarts(daemon.entries()) == [("web-1", "refuted")]

        acknowledged = daemon.run("ack")
        assert acknowledged.returncode == 0, acknowledged.stderr
        assert outcome_of(daemon, "web", times=2)["outcome"] == "confirmed"
        assert shop.diary(shop.container("web"))[-1] == "start"


def test_nobody_calls_well_what_did_not_come_back(
    make_shop: MakeShop, server: PostgresServer, tmp_path: Path
) -> None:
    """Slots that are free again are no reason to say that all is well.

    Given a service that exits for good when it is restarted, when its sessions are gone and the incident is
    over, then the page, `history`, `check` and `plan` say that it is locked, and claim no relief.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(BROKEN["exits"])
    policy = merged(ladder("web", terminate=False), OFTEN)
    daemon = daemon_for(tmp_path / "daemon", watch, shop, policy=policy)
    port = free_port()
    daemon.config["web"] = {"listen": f"127.0.0.1:{port}"}
    daemon.write_config()
    with daemon:
        with pressure(app):
            daemon.wait_for("locked", scope="service:web")
        daemon.wait_for("incident_closed")
        name = f"{shop.name}-web-1"
        assert shop.container("web").status == "exited"

        told = daemon.run("history", "--format", "text").stdout
        wrong = f"but the restart of {name} was refuted"
        assert re.search(rf"closed after [^,]+, no longer critical after [^,]+, {wrong}\n", told), told
        checked = daemon.run("check", "--format", "text").stdout.splitlines()
        assert checked[0] == "shop: normal (enforcing)"
        assert checked[1].startswith("  locked service:web since ")
        headline = "Slots are free, but a person is needed"
        daemon.wait(lambda: headline in ask(port, "/").body, "the headline once it is calm")
        assert "service:web stays locked until `remediator ack`: " in ask(port, "/").body

        daemon.config["policies"][0]["remediate"]["steps"] = [{"restart": {"service": "culprit"}}]
        daemon.write_config()
        (step,) = json.loads(daemon.run("plan", "--format", "json").stdout)["steps"]
        assert step["objections"] == ["no_culprit", "service_locked"]
        assert f"{name} was restarted: " in step["detail"]
        assert daemon.run("ack").returncode == 0
        daemon.wait(lambda: "All is well" in ask(port, "/").body, "the headline once it is acknowledged")


def test_replicas_are_restarted_one_at_a_time_and_the_first_that_fails_is_the_last(
    make_shop: MakeShop, server: PostgresServer, tmp_path: Path
) -> None:
    """The next only after the last is up.

    Given three replicas, the first of which somebody renames and the second of which does not come up again,
    when the service is restarted, then each waits for the one before, and the third is never touched.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    fifth = "[ $$(cat /diary/* | grep -c start) -lt 5 ] || exit 1"
    shop = make_shop(Service(on_start=fifth, on_term=SLOW), up=("--scale", "web=3"))
    first, second, third = sorted(shop.containers("web"), key=lambda c: str(c.name))
    before = {c.id: started_at(c) for c in (first, second, third)}
    daemon = daemon_for(tmp_path / "daemon", watch, shop, policy=ALL)
    with daemon, pressure(app):
        daemon.wait(lambda: "stopping" in shop.diary(first), "the first one to stop")
        first.rename(f"{first.name}-by-another-name")
        daemon.wait_for("locked", scope="service:web")
        daemon.wait_for("incident_held", times=2)
        entries = [e for e in daemon.entries() if e["action"]["kind"] == "restart_replica"]
        assert restarts(entries) == [("web-1", "confirmed"), ("web-2", "refuted")]
        assert entries[1]["at"] >= entries[0]["outcome"]["at"]
        assert started_at(first) != before[first.id]
        assert started_at(second) != before[second.id]
        assert started_at(third) == before[third.id]
        assert shop.diary(third) == ["start"]


def test_what_others_do_to_a_container_while_it_is_restarted_is_left_so(
    make_shop: MakeShop, server: PostgresServer, tmp_path: Path
) -> None:
    """What came of it is recorded, and nobody is fought.

    Given containers that are restarted on our request, when each is removed, replaced by a deploy, stopped,
    paused or renamed by somebody else, then it stays what they made of it.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    names = ("removed", "replaced", "stopped", "paused", "renamed")
    shop = make_shop(*(Service(name, on_term=SLOW, grace="3s") for name in names))
    containers = {name: shop.container(name) for name in names}
    watched = {name: {"verify": {"within": "1s", "steady_for": "3s"}} for name in names}
    policy = {"limits": {"restart": {"per_day": 50}, "failed_rounds": 50}}

    def again(name: str) -> bool:
        return shop.diary(containers[name]).count("start") == 2

    with (
        daemon_for(tmp_path / "daemon", watch, shop, services=watched, policy=policy) as daemon,
        pressure(app),
    ):
        for name, container in containers.items():
            daemon.wait(lambda n=name: "stopping" in shop.diary(containers[n]), f"{name} to stop")
            match name:
                case "removed":
                    container.remove(force=True)
                case "replaced":
                    daemon.wait(lambda: again("replaced"), "its start")
                    shop.up("--force-recreate", "--no-deps", "replaced")
                case "stopped":
                    daemon.wait(lambda: again("stopped"), "its start")
                    container.kill()
                case "paused":
                    daemon.wait(lambda: again("paused"), "its start")
                    container.pause()
                case "renamed":
                    container.rename(f"{shop.name}-otherwise")
            outcome_of(daemon, name)
        done = [e for e in daemon.entries() if e["action"]["kind"] == "restart_replica"]
        results = {e["action"]["replica"]["service"]: e["outcome"] for e in done}
        assert {name: outcome["result"] for name, outcome in results.items()} == {
            "removed": "unknown",
            "replaced": "unknown",
            "stopped": "refuted",
            "paused": "refuted",
            "renamed": "confirmed",
        }
        assert all(results[name]["detail"] for name in ("removed", "replaced", "stopped", "paused"))
        daemon.wait_cycles(8)
        assert shop.containers("removed") == []
        assert shop.diary(shop.container("replaced")) == ["start"]
        assert {n: shop.container(n).status for n in ("stopped", "paused")} == {
            "stopped": "exited",
            "paused": "paused",
        }
