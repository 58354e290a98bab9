"""Whose doing it is that sessions end: the daemon's, an operator's, or that of clients which vanish."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from tests.testbed.daemon import Daemon, ladder
from tests.testbed.postgres import PostgresServer
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until
from tests.testbed.web import ask, free_port

CAUSES = ("abandoned", "fatal", "killed")


def told(daemon: Daemon) -> Counter[str]:
    """How sessions ended, by all of its checks together."""
    total: Counter[str] = Counter()
    for line in daemon.said("cycle"):
        total.update(line.get("ended", {}))
    return +total


def test_a_kill_is_somebody_elses_unless_it_is_ours(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """Given a leak that it ends, when an operator ends two more and a client dies, only those are told."""
    port = free_port()
    config = {"web": {"listen": f"127.0.0.1:{port}"}}
    with Daemon(tmp_path, watch, policy=ladder(), config=config) as daemon, ExitStack() as stack:
        stack.enter_context(open_idle(app, 34))
        daemon.wait_for("incident_relieved")
        daemon.wait_for("incident_closed")
        daemon.wait_cycles(3)
        done = [outcome for outcome in daemon.said("action_finished") if outcome["outcome"] == "confirmed"]
        assert len(done) > 10
        ((counted,),) = server.rows("SELECT sum(sessions_killed)::int FROM pg_stat_database")
        assert counted >= len(done)
        assert told(daemon) == {}

        client = psycopg.connect(app, application_name="vanishes", autocommit=True)
        stack.callback(client.close)
        alive = {pid for (pid,) in server.rows("SELECT pid FROM pg_stat_activity WHERE usename = 'app'")}
        victims = sorted(alive - {client.info.backend_pid})[:2]
        assert len(victims) == 2
        for victim in victims:
            server.rows(f"SELECT pg_terminate_backend({victim})")
        with socket.socket(fileno=os.dup(client.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        wanted = {"killed": 2, "abandoned": 1}
        daemon.wait(lambda: told(daemon) == wanted, "the endings to be told")
        daemon.wait_cycles(2)
        assert told(daemon) == wanted
        metrics = ask(port, "/metrics").body
    for cause in CAUSES:
        value = float(wanted.get(cause, 0))
        assert f'remediator_sessions_ended_total{{cause="{cause}",database="shop"}} {value}' in metrics


def test_a_check_beside_the_daemon_knows_the_minutes_before(
    server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """Given sessions that an operator ended and some that were opened, a single look tells of them."""
    with Daemon(tmp_path, watch, mode="dry-run") as daemon, ExitStack() as stack:
        (victim,) = stack.enter_context(open_idle(app, 1))
        daemon.wait_cycles(2)
        server.rows(f"SELECT pg_terminate_backend({victim})")
        daemon.wait(lambda: told(daemon)["killed"] == 1, "the kill to be told")
        stack.enter_context(open_idle(app, 3))
        daemon.wait_cycles(3)

        def look() -> dict[str, Any]:
            looked = daemon.run("check")
            assert looked.stderr == ""
            trend: dict[str, Any] = json.loads(looked.stdout)["trend"] or {}
            return trend

        # What was seen is written beside the checks, a moment later.
        wait_until(lambda: (look().get("ended") or {}).get("killed") == 1, what="the kill to be recorded")
        trend = look()
        assert trend["ended"] == {"abandoned": 0, "fatal": 0, "killed": 1}
        assert 0 < trend["seconds"] <= 300
    alone = Daemon(tmp_path / "alone", watch)
    assert json.loads(alone.run("check").stdout)["trend"] is None


def test_the_story_of_an_incident_names_what_its_sessions_point_to(
    app: str, watch: str, tmp_path: Path
) -> None:
    """Given clients that vanish, when an incident opens, then its evidence says so, with their number."""
    with Daemon(tmp_path, watch, policy=ladder(), mode="dry-run") as daemon, ExitStack() as stack:
        for _ in range(3):
            client = psycopg.connect(app, autocommit=True)
            stack.callback(client.close)
            with socket.socket(fileno=os.dup(client.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
        daemon.wait(lambda: told(daemon)["abandoned"] == 3, "the clients to be missed")
        for _ in range(34):
            stack.callback(psycopg.connect(app, application_name="prefork", autocommit=True).close)
        opened = daemon.wait_for("incident_opened")
        assert "3 sessions abandoned in the last " in opened["evidence"]
