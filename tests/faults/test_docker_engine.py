"""A Docker Engine that stops, crashes, freezes or loses answers under a daemon that is needed."""

from __future__ import annotations

import threading
import time
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
    terminated,
    wait_until_gone,
)
from tests.testbed.daemon import Daemon
from tests.testbed.dockerd import PrivateEngine
from tests.testbed.engine import DockerEngine
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.sockets import Forwarder
from tests.testbed.waiting import wait_until

ALWAYS = {"restart": "always"}
SLOW = "echo stopping >> $$d; sleep 2"

MakeShop = Callable[..., Composed]


@pytest.fixture(scope="module")
def private(docker_engine: DockerEngine) -> Iterator[PrivateEngine]:
    """An engine of this module's own."""
    with PrivateEngine(docker_engine) as engine:
        yield engine


@pytest.fixture
def make_shop(private: PrivateEngine, tmp_path: Path) -> Iterator[MakeShop]:
    """Start a project on the private engine; both are as before after the test."""
    shops: list[Composed] = []

    def make(*services: Service) -> Composed:
        shop = Composed(private.engine, tmp_path / "shop", *services)
        shops.append(shop)
        shop.up()
        return shop

    private.start()
    yield make
    private.start()
    private.empty()
    for shop in shops:
        shop.engine.client.close()


def posts(forwarder: Forwarder) -> int:
    """How many restarts were asked for."""
    return sum(request.startswith("POST") for request in forwarder.requests)


def wait_restarted(daemon: Daemon, result: str, within: float = 30.0) -> None:
    """Wait until the outcome of a restart is known."""
    daemon.wait_for("action_finished", action="restart", outcome=result, within=within)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_down_when_it_is_needed(
    how: str,
    private: PrivateEngine,
    make_shop: MakeShop,
    server: PostgresServer,
    tmp_path: Path,
    figure: Figure,
) -> None:
    """Sessions are terminated all the same, and the restart follows.

    Given an engine that does not answer, when slots run short, then idle sessions go, also those that come
    later, what cannot be done is said, and the service is restarted once the engine is back.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(Service(more=ALWAYS))
    container = shop.container("web")
    with daemon_for(tmp_path / "daemon", watch, shop) as daemon:
        {"stopped": private.stop, "frozen": private.freeze}[how]()
        begin = time.monotonic()
        with pressure(app) as idle:
            wait_until_gone(daemon, server, idle)
            figure("sessions gone after", f"{time.monotonic() - begin:.1f} s")
            held = daemon.wait_for("incident_held")
            figure("held and said after", f"{time.monotonic() - begin:.1f} s")
            assert "Docker Engine" in held["because"]
            with open_idle(app, 2) as more:
                wait_until_gone(daemon, server, more)
            assert restarts(daemon.entries()) == []

            private.start()
            begin, before = time.monotonic(), started_at(container)
            wait_restarted(daemon, "confirmed")
            figure("restart confirmed after the first answer", f"{time.monotonic() - begin:.1f} s")
            assert started_at(container) != before
        assert restarts(daemon.entries()) == [("web-1", "confirmed")]
        assert terminated(daemon) == len(idle) + 2
        assert not daemon.said("cycle_failed")


@pytest.mark.parametrize("how", ["stopped", "crashed"])
def test_down_in_the_middle_of_a_restart(
    how: str,
    private: PrivateEngine,
    make_shop: MakeShop,
    server: PostgresServer,
    tmp_path: Path,
    figure: Figure,
) -> None:
    """The outcome is read from the container.

    Given a container that is stopping on our request, when its engine goes down and comes back, then the
    restart is confirmed by looking, and the request is never sent again.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(Service(on_term=SLOW, more=ALWAYS))
    container = shop.container("web")
    before = started_at(container)
    # On a busy machine an engine needs long to stop and to start.
    patient = {"web": {"verify": {"within": "30s"}}}
    with (
        Forwarder(tmp_path / "engine.sock", private.url) as forwarder,
        daemon_for(tmp_path / "daemon", watch, shop, host=forwarder.url, services=patient) as daemon,
        pressure(app),
    ):
        daemon.wait(lambda: "stopping" in shop.diary(container), "the container to stop")
        {"stopped": private.stop, "crashed": private.crash}[how]()
        daemon.wait_cycles(3)
        private.start()
        begin = time.monotonic()
        wait_restarted(daemon, "confirmed")
        figure("outcome known after the first answer", f"{time.monotonic() - begin:.1f} s")
        assert started_at(container) != before
        daemon.wait_for("incident_held")
        assert posts(forwarder) == 1
        assert restarts(daemon.entries()) == [("web-1", "confirmed")]
        assert not daemon.said("locked")


def test_restarted_while_a_restart_is_verified(
    private: PrivateEngine, make_shop: MakeShop, server: PostgresServer, tmp_path: Path
) -> None:
    """That is not taken for a crash of the container.

    Given a container that was seen up again, when the engine restarts and starts it once more, then it is
    watched anew, and confirmed.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(Service(more=ALWAYS))
    container = shop.container("web")
    patient = {"web": {"verify": {"within": "20s", "steady_for": "4s"}}}
    with daemon_for(tmp_path / "daemon", watch, shop, services=patient) as daemon, pressure(app):
        daemon.wait(lambda: shop.diary(container).count("start") == 2, "its restart")
        daemon.wait_cycles(5)
        private.stop()
        daemon.wait_cycles(3)
        private.start()
        wait_restarted(daemon, "confirmed")
        assert shop.diary(container) == ["start", "end", "start", "end", "start"]
        assert not daemon.said("locked")


def test_acting_on_a_request_too_late(
    private: PrivateEngine, make_shop: MakeShop, server: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    """Nothing is sent a second time.

    Given a request that reaches the engine only after we have given up on it, when it is carried out, then
    it was recorded as unconfirmed, and its cooldown holds.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(Service(grace="1s"))
    container = shop.container("web")
    before = started_at(container)
    let_through = threading.Event()

    def hold(request: str) -> None:
        if request.startswith("POST"):
            let_through.wait(60)

    with (
        Forwarder(tmp_path / "engine.sock", private.url, before=hold) as forwarder,
        daemon_for(tmp_path / "daemon", watch, shop, host=forwarder.url) as daemon,
        pressure(app),
    ):
        intended = daemon.wait_for("action_intended", action="restart")
        finished = daemon.wait_for("action_finished", action="restart", outcome="unconfirmed")
        figure("given up after", f"{finished['seconds']:.1f} s with 1 s to stop and 4.6 s to be seen up")
        assert finished["id"] == intended["id"]
        assert started_at(container) == before
        let_through.set()
        wait_until(lambda: started_at(container) != before, what="the late restart")
        daemon.wait_for("incident_held", times=2)
        assert posts(forwarder) == 1
        assert shop.diary(container).count("start") == 2
        assert restarts(daemon.entries()) == [("web-1", "unconfirmed")]


def test_frozen_with_a_request_in_its_hands(
    private: PrivateEngine, make_shop: MakeShop, server: PostgresServer, tmp_path: Path
) -> None:
    """What is late, but in time, is confirmed.

    Given an engine that freezes right before a request, when it thaws within the time that is allowed, then
    the restart is confirmed by looking, and was sent once.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(Service())
    container = shop.container("web")
    frozen = threading.Event()

    def freeze(request: str) -> None:
        if request.startswith("POST"):
            private.freeze()
            frozen.set()

    with (
        Forwarder(tmp_path / "engine.sock", private.url, before=freeze) as forwarder,
        daemon_for(tmp_path / "daemon", watch, shop, host=forwarder.url) as daemon,
        pressure(app),
    ):
        assert frozen.wait(30)
        time.sleep(3)
        private.thaw()
        wait_restarted(daemon, "confirmed")
        daemon.wait_for("incident_held")
        assert posts(forwarder) == 1
        assert shop.diary(container) == ["start", "end", "start"]


def test_an_answer_that_never_comes(
    private: PrivateEngine, make_shop: MakeShop, server: PostgresServer, tmp_path: Path
) -> None:
    """It is not waited for.

    Given an engine that restarts the container and whose answer is lost, then the restart is confirmed by
    looking, and was sent once.
    """
    app, watch = create_app_role(server), create_watch_role(server)
    shop = make_shop(Service(grace="1s"))
    with (
        Forwarder(
            tmp_path / "engine.sock", private.url, swallow=lambda request: request.startswith("POST")
        ) as forwarder,
        daemon_for(tmp_path / "daemon", watch, shop, host=forwarder.url) as daemon,
        pressure(app),
    ):
        wait_restarted(daemon, "confirmed")
        daemon.wait_for("incident_held")
        assert posts(forwarder) == 1
        assert shop.diary(shop.container("web")) == ["start", "end", "start"]
        assert daemon.terminate() == 0
