"""The test bed itself: what it starts is real, and nothing of it stays."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.testbed.engine import BASE_IMAGE, BUSYBOX_IMAGE, SYSTEMD_IMAGE
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from tests.conftest import MakePostgres, MakeProject
    from tests.testbed.engine import DockerEngine
    from tests.testbed.postgres import PostgresServer
    from tests.testbed.systemd import SystemdContainer

SLEEPER = f"""
services:
  sleeper:
    image: {BUSYBOX_IMAGE}
    command: sleep 3600
"""


def test_each_version_answers_as_itself(postgres: PostgresServer) -> None:
    """The parametrised server is of the version it says it is."""
    [(number,)] = postgres.rows("SELECT current_setting('server_version_num')::int")
    assert number // 10_000 == postgres.version


def test_watch_role_has_the_rights_it_was_given(postgres: PostgresServer) -> None:
    """Rights are granted and taken back on a server that tests share."""
    query = "SELECT pg_has_role('pg_read_all_stats', 'MEMBER'), pg_has_role('pg_signal_backend', 'MEMBER')"
    with psycopg.connect(create_watch_role(postgres)) as connection:
        assert connection.execute(query).fetchone() == (True, True)
    with psycopg.connect(create_watch_role(postgres, stats=False, signal=False)) as connection:
        assert connection.execute(query).fetchone() == (False, False)


def test_idle_sessions_survive_being_terminated(postgres: PostgresServer) -> None:
    """Terminated sessions are gone from the server, and leaving the block is no error."""
    with open_idle(create_app_role(postgres), 3) as pids:
        assert postgres.alive(pids) == set(pids)
        postgres.rows("SELECT pg_terminate_backend(%(pid)s)", {"pid": pids[0]})
        wait_until(lambda: postgres.alive(pids) == set(pids[1:]), what="one session to end")
    wait_until(lambda: not postgres.alive(pids), what="the other sessions to end")


def test_settings_crash_and_restart(make_postgres: MakePostgres) -> None:
    """A server keeps its settings, port and data through a crash."""
    server = make_postgres(16, max_connections=12, reserved_connections=2)
    server.rows("CREATE TABLE kept AS SELECT 1 AS one")
    server.rows("CHECKPOINT")
    before = server.pid
    server.restart("immediate")
    assert server.pid != before
    assert server.rows("SELECT one FROM kept") == [(1,)]
    assert server.rows("SELECT current_setting('max_connections')::int") == [(12,)]


def test_frozen_server_takes_connections_and_stays_silent(make_postgres: MakePostgres) -> None:
    """A frozen postmaster is neither up nor down: the kernel connects, nobody answers."""
    server = make_postgres(18)
    server.freeze()
    with socket.create_connection((server.host, server.port), timeout=5):
        pass
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(server.dsn(connect_timeout=2))
    server.thaw()
    assert server.rows("SELECT 1") == [(1,)]


def test_broken_settings_are_reported(make_postgres: MakePostgres) -> None:
    """A server that does not start says why."""
    with pytest.raises(RuntimeError, match="max_connections"):
        make_postgres(15, max_connections="many")


def test_compose_service_starts(compose_project: MakeProject) -> None:
    """A service of the tiny image runs, and the project's name is on it."""
    project = compose_project(SLEEPER)
    assert project.container("sleeper").status == "running"
    project.remove()
    assert project.containers() == []


def test_base_images_exist(docker_engine: DockerEngine) -> None:
    """Every local base image is there."""
    tags = {tag for image in docker_engine.client.images.list() for tag in image.tags}
    assert {BASE_IMAGE, BUSYBOX_IMAGE, SYSTEMD_IMAGE} <= tags


def test_systemd_boots(systemd_container: SystemdContainer) -> None:
    """Process 1 of the container is a systemd that has started everything."""
    assert systemd_container.run("cat", "/proc/1/comm").strip() == "systemd"
    assert systemd_container.run("systemctl", "is-system-running").strip() == "running"
