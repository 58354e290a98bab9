"""What the real daemon serves: metrics, signs of life, and nothing that could hold up its checks."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path

from tests.testbed.daemon import Daemon, ladder
from tests.testbed.sessions import open_idle
from tests.testbed.web import ask, free_port


def serving(port: int) -> dict[str, object]:
    """What the configuration says of it."""
    return {"web": {"listen": f"127.0.0.1:{port}"}}


def values(exposition: str) -> dict[str, float]:
    """Every series with its value, as they are written."""
    lines = [line for line in exposition.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_leak_shows_in_the_metrics_from_its_beginning_to_its_end(
    app: str, watch: str, tmp_path: Path
) -> None:
    """Used slots, the level, the terminations, what is left of their limit: what the ledger says."""
    port = free_port()
    with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=serving(port)) as daemon:
        daemon.wait(lambda: ask(port, "/readyz").status == 200, "being ready")
        assert ask(port, "/healthz").status == 200
        calm = values(ask(port, "/metrics").body)
        assert calm['remediator_level{database="shop",level="critical"}'] == 0
        assert calm['remediator_mode_info{mode="enforce"}'] == 1
        with open_idle(app, 34, application_name='"}\nremediator_paused 1'):
            daemon.wait_for("incident_closed")
        answer = ask(port, "/metrics")
        done = len(daemon.entries())
        after = values(answer.body)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    terminated = 'remediator_actions_total{action="terminate",database="shop",outcome="confirmed",service=""}'
    assert after[terminated] == done > 0
    left = 'remediator_budget_left{action="terminate",database="shop",limit="10000 per 1h",service=""}'
    assert after[left] == 10_000 - done
    assert after['remediator_incidents_total{database="shop"}'] == 1
    assert after['remediator_incidents_open{database="shop"}'] == 0
    assert after['remediator_usable_slots{database="shop"}'] == 37
    assert after["remediator_paused"] == 0


def test_arguments_of_commands_are_shown_to_nobody_who_looks(watch: str, tmp_path: Path) -> None:
    """Given secrets in them, from the environment and as they are, then no page and no metric has one."""
    port, service = free_port(), dict[str, object]()
    service |= {"name": "worker", "diagnose": {"run": ["echo", "--key=${CANARY_KEY}"]}}
    service["command"] = {"restart": ["true", "written-c4nary"], "inspect": ["echo", "${CANARY_KEY}"]}
    env = {"CANARY_KEY": "environment-c4nary"}
    config = serving(port) | {"services": [service]}
    with Daemon(tmp_path / "daemon", watch, config=config, env=env) as daemon:
        daemon.wait(lambda: ask(port, "/readyz").status == 200, "being ready")
        pages = [ask(port, path).body for path in ("/", "/metrics", "/series?database=shop")]
        assert daemon.terminate() == 0
    assert "worker" in pages[0]
    assert "(1 argument)" in pages[0]
    assert not [page for page in pages if "c4nary" in page]


def test_a_port_in_use_does_not_keep_it_from_watching(watch: str, tmp_path: Path) -> None:
    """It says so, and takes the port once it is free; ending it frees the port at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Daemon(tmp_path / "daemon", watch, config=serving(port)) as daemon:
            daemon.wait_for("web_unavailable")
            daemon.wait_cycles(3, unknown=False)
            taken.close()
            daemon.wait_for("web_available")
            assert ask(port, "/healthz").body == "ok\n"
            assert daemon.terminate() == 0
            with suppress(ConnectionRefusedError):
                ask(port, "/healthz", within=2)
                raise AssertionError("it serves still")
            assert daemon.errors == ""


def test_a_flood_of_clients_does_not_hold_up_the_checks(watch: str, tmp_path: Path) -> None:
    """Silent ones, slow ones, and as many requests as two processors can make: cycles come at their pace."""
    port = free_port()
    with Daemon(tmp_path / "daemon", watch, config=serving(port)) as daemon, ExitStack() as stack:
        daemon.wait_for("web_available")
        for number in range(300):
            client = stack.enter_context(socket.socket())
            client.settimeout(0.05)
            with suppress(OSError):
                client.connect(("127.0.0.1", port))
                client.sendall(b"GET / HTTP/1.1\r\n" if number % 2 else b"")
        begun, before = time.monotonic(), len(daemon.said("cycle"))
        paths = cycle((b"/metrics", b"/", b"/series?database=shop", b"/incidents/none"))
        while time.monotonic() - begun < 3:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.05) as client:
                client.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % next(paths))
        done = len(daemon.said("cycle")) - before
        assert done >= 5  # of 20 at most
        assert not daemon.said("cycle_late")
        stack.close()
        assert ask(port, "/healthz").status == 200


def test_the_last_hours_are_shown_from_before_a_restart_too(watch: str, tmp_path: Path) -> None:
    """From the recording, once somebody looks."""
    port = free_port()
    with Daemon(tmp_path / "daemon", watch, config=serving(port)) as daemon:
        daemon.wait_cycles(5)
        daemon.terminate()
        ended = time.time()
        daemon.start()
        daemon.wait(lambda: ask(port, "/").status == 200, "the page")

        def shown() -> list[float]:
            at: list[float] = json.loads(ask(port, "/series?database=shop").body)["at"]
            return at

        daemon.wait(lambda: shown()[0] < ended < shown()[-1], "readings from before")
        assert shown() == sorted(shown())


def test_without_the_section_no_port_is_opened(watch: str, tmp_path: Path) -> None:
    """And a check by hand opens none either."""
    port = free_port()
    with Daemon(tmp_path / "daemon", watch) as daemon:
        inodes = {
            Path(f"/proc/{daemon.pid}/fd/{fd.name}").readlink().name
            for fd in Path(f"/proc/{daemon.pid}/fd").iterdir()
        }
        tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
        listening = {
            f"socket:[{line.split()[9]}]" for table in tables for line in table if line.split()[3] == "0A"
        }
        assert not inodes & listening
    daemon.config |= serving(port)
    daemon.write_config()
    done = daemon.run("run", "--once")
    assert done.returncode == 0, done.stderr
    assert "web_available" not in done.stdout
