"""The commands that people and monitoring call, as processes against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.core.ledger import Lock
from remediator.core.model import Mode
from tests.testbed.daemon import Daemon, LeakingService, ended, ladder
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_watch_role
from tests.testbed.sessions import open_idle

USABLE = 37
NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


def on_a_terminal(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    """Run a command with a terminal as its standard output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        daemon.argv(*arguments), stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.STDOUT
    )
    os.close(theirs)
    shown = b""
    with ended(process):
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not chunk:
                break
            shown += chunk
        code = process.wait(30)
    os.close(ours)
    return code, shown.decode()


def records(output: str) -> list[dict[str, Any]]:
    """Lines of JSON."""
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize(
    ("sessions", "level", "code", "status"),
    [(3, "normal", 0, "OK"), (10, "monitor", 1, "WARNING"), (34, "critical", 2, "CRITICAL")],
)
def test_check(
    sessions: int, level: str, code: int, status: str, app: str, watch: str, tmp_path: Path
) -> None:
    """Its three forms agree, and the exit code tells the level."""
    daemon = Daemon(tmp_path, watch)
    with open_idle(app, sessions):
        as_json = daemon.run("check")
        as_nagios = daemon.run("check", "--format", "nagios")
        as_text = daemon.run("check", "--format", "text")
    assert [as_json.returncode, as_nagios.returncode, as_text.returncode] == [code] * 3
    assert as_json.stderr == as_nagios.stderr == as_text.stderr == ""
    (record,) = records(as_json.stdout)
    assert record["level"] == level
    assert record["slots"]["used"] == sessions + 1
    assert record["slots"]["usable"] == USABLE
    leaky = [group for group in record["sessions"] if group["application"] == "leaky"]
    assert sum(group["count"] for group in leaky) == sessions
    (line,) = as_nagios.stdout.splitlines()
    assert re.fullmatch(rf"{status} - shop: .+ \| 'shop_used'={sessions + 1};7.4;29.6;0;37", line)
    assert as_text.stdout.startswith(f"shop: {level} (enforcing)\n")
    assert re.search(rf"^ +{sessions}  leaky +idle$", as_text.stdout, re.MULTILINE)
    assert list(daemon.state_dir.iterdir()) == []  # looking leaves no trace


def test_check_of_what_is_not_known(server: PostgresServer, watch: str, tmp_path: Path) -> None:
    """A server that is down, or does not let us see, is unknown, never OK; and each has its reason."""
    down = Daemon(tmp_path / "down", NOWHERE)
    blind = Daemon(tmp_path / "blind", create_watch_role(server, name="blind", stats=False))
    for daemon, reason in ((down, "refused"), (blind, "pg_read_all_stats")):
        for form in ("text", "json", "nagios"):
            done = daemon.run("check", "--format", form)
            assert (done.returncode, done.stderr) == (3, "")
            assert reason in done.stdout
        assert daemon.run("check", "--format", "nagios").stdout.startswith("UNKNOWN - shop: ")
    both = Daemon(tmp_path / "both", {"up": watch, "down": NOWHERE})
    done = both.run("check")
    assert done.returncode == 3
    assert [record["level"] for record in records(done.stdout)] == ["normal", "unknown"]


def test_the_worst_database_decides(app: str, watch: str, tmp_path: Path) -> None:
    """A known critical is worse than one that is not known."""
    daemon = Daemon(tmp_path, {"down": NOWHERE, "full": watch})
    with open_idle(app, 34):
        assert daemon.run("check").returncode == 2


def test_plan(app: str, watch: str, tmp_path: Path) -> None:
    """To the session and the service, act or hold; nothing is changed, and nothing is left behind."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    worker.start()
    try:
        daemon = Daemon(tmp_path / "daemon", watch, worker, policy=ladder("worker"))
        daemon.config["policies"][0]["spare"] = {"applications": ["etl_*"]}
        daemon.write_config()
        with open_idle(app, 24) as leaked, open_idle(app, 2, application_name="etl_nightly") as spared:
            daemon.run("check")  # time to become old enough
            as_json, as_text = daemon.run("plan"), daemon.run("plan", "--format", "text")
            every = daemon.run("plan", "--format", "text", "--all")
        assert [done.returncode for done in (as_json, as_text, every)] == [0, 0, 0]
        (record,) = records(as_json.stdout)
        terminate, restart = record["steps"]
        acts = [p["pid"] for p in terminate["proposals"] if p["decision"] == "act"]
        assert acts == leaked[: 26 + 1 - USABLE // 2]
        held = {p["pid"]: p["objections"] for p in terminate["proposals"] if p["decision"] == "hold"}
        assert all("spared_application" in held[pid] for pid in spared)
        assert held[min(set(held) - set(leaked) - set(spared))][:1] == ["own_session"]
        (proposal,) = restart["proposals"]
        assert (proposal["decision"], proposal["service"]) == ("act", "worker")
        assert restart["if_still_critical"] is True

        assert f"act   terminate {len(acts)} sessions of leaky, user app, idle for" in as_text.stdout
        assert f"act   terminate session {acts[0]} (leaky), user app, from 127.0.0.1" in every.stdout
        assert "spare 2 sessions: its application is spared by the policy" in as_text.stdout
        assert "restart worker (only if critical still)" in as_text.stdout
        for pid in spared:
            assert f"session {pid} " not in as_text.stdout
            assert f"hold  terminate session {pid} (etl_nightly)" in every.stdout
        assert worker.restarts == 0
        assert list(daemon.state_dir.iterdir()) == []
    finally:
        worker.stop()


def test_plan_without_a_database(tmp_path: Path) -> None:
    """Exit 3, the reason once, and no step that would be taken: down is not full."""
    worker = LeakingService("worker", tmp_path / "worker", NOWHERE, limit=0)
    worker.start()
    try:
        daemon = Daemon(tmp_path / "daemon", NOWHERE, worker, policy=ladder("worker"))
        done, as_json = daemon.run("plan", "--format", "text"), daemon.run("plan", "--format", "json")
    finally:
        worker.stop()
    assert (done.returncode, as_json.returncode) == (3, 3)
    assert "nothing would be done: the state of the database is not known" in done.stdout
    assert done.stdout.count("refused") == 1
    assert "act " not in done.stdout
    (record,) = records(as_json.stdout)
    held = [p["objections"] for step in record["steps"] for p in step["proposals"]]
    assert held == [["unknown_evidence"]]


def test_history_pause_and_modes(app: str, watch: str, tmp_path: Path) -> None:
    """Each mode has its own history; a pause is for both; how far back is looked can be said."""
    daemon = Daemon(tmp_path, watch, mode="dry-run")
    assert daemon.run("history", "--format", "text").stdout.startswith(f"no ledger in {daemon.state_dir}: ")
    # On a machine where no daemon runs, or with its directory missing, nothing is known of pauses and limits.
    assert daemon.run("plan").stderr.startswith(f"no ledger in {daemon.state_dir}: no daemon has run")
    daemon.state_dir.rmdir()
    missing = f"no ledger in {daemon.state_dir}: there is no such directory, "
    assert daemon.run("plan").stderr.startswith(missing)
    assert daemon.run("history", "--format", "text").stdout.startswith(missing)
    daemon.state_dir.mkdir()
    with open_idle(app, 34):
        daemon.run("check")
        assert daemon.run("run", "--once").returncode == 0
    incident, standing = records(daemon.run("history").stdout)
    spent = {b["rule"]: b["used"] for b in standing["budgets"] if b["limits"] == "terminate"}
    assert spent == {"10000 per 1h": len(incident["entries"])}
    assert (standing["mode"], standing["pause"], standing["locks"]) == ("dry-run", None, [])
    plan = daemon.run("plan")
    assert plan.stderr == ""
    (planned,) = records(plan.stdout)
    assert {b["rule"]: b["used"] for b in planned["budgets"] if b["limits"] == "terminate"} == spent
    assert {entry["outcome"]["result"] for entry in incident["entries"]} == {"simulated"}
    elsewhere = "no incidents (enforce); 1 incident and 0 locks in dry-run: --mode dry-run\n"
    assert daemon.run("history", "--mode", "enforce", "--format", "text").stdout.startswith(elsewhere)
    shown = daemon.run("history", "--format", "text").stdout
    assert incident["id"] in shown
    assert f"{len(incident['entries']):>7}  terminate leaky: simulated" in shown
    assert incident["id"] in daemon.run("history", "--since", "1ms", "--format", "text").stdout  # still open
    assert "dry-run  open for " in shown
    daemon.config["mode"] = "enforce"
    daemon.write_config()
    left = daemon.run("history", "--mode", "dry-run", "--format", "text").stdout
    assert "dry-run  left open: the mode is enforce now" in left
    assert "open for" not in left
    story = daemon.run("history", "show", "last", "--mode", "dry-run", "--format", "text").stdout
    assert re.search(r"^ +phase +left open: the mode is enforce now$", story, re.MULTILINE)
    daemon.config["mode"] = "dry-run"
    daemon.write_config()

    assert daemon.run("pause", "--reason", "works").stdout == "paused until `remediator resume`\n"
    for mode in ("dry-run", "enforce"):
        shown = daemon.run("history", "--mode", mode, "--format", "text").stdout
        assert "paused until `resume`: works" in shown
        assert "terminate: " in shown
        *_, standing = records(daemon.run("history", "--mode", mode).stdout)
        assert standing["pause"]["reason"] == "works"
    assert daemon.run("resume").stdout == "resumed\n"


def test_what_looks_at_the_state_directory_alone_needs_no_secret(tmp_path: Path) -> None:
    """At night `pause` works in a bare shell: nobody has to find out first where passwords are kept."""
    daemon = Daemon(tmp_path, NOWHERE)
    daemon.config["databases"][0]["password_file"] = "remediator_password"
    daemon.config["notify"] = [{"name": "oncall", "url_file": "oncall_url"}]
    daemon.write_config()
    assert daemon.run("pause", "--for", "1h").stdout.startswith("paused until 2")
    shown = daemon.run("history")
    assert (shown.returncode, records(shown.stdout)[-1]["pause"]["reason"]) == (0, "")
    assert daemon.run("resume").stdout == "resumed\n"
    assert daemon.run("ack").stdout == "nothing was locked (enforce)\n"
    assert daemon.run("health").stdout.startswith("missing")
    assert daemon.run("replay", "--policy", str(daemon.config_file)).returncode == 3
    assert daemon.run("history", "show", "last").returncode == 1
    for command in (["config", "check"], ["check"], ["run", "--once"], ["doctor"], ["notify", "test"]):
        refused = daemon.run(*command)
        assert refused.returncode == 78, command
        assert [line.split(": ")[-2] for line in refused.stderr.splitlines()] == [
            "databases[0].password_file",
            "notify[0].url_file",
        ], command


def test_check_says_what_keeps_the_daemon_from_acting(watch: str, tmp_path: Path) -> None:
    """Pause and locks, at the top; a ledger that cannot be read is said; the exit code is the level's."""
    worker = LeakingService("worker", tmp_path / "worker", NOWHERE, limit=0)
    daemon = Daemon(tmp_path / "daemon", watch, worker, policy=ladder("worker"))
    (record,) = records(daemon.run("check").stdout)
    assert (record["pause"], record["locks"], record["ledger"]) == (None, [], None)
    assert daemon.run("pause", "--for", "1h", "--reason", "a deploy").returncode == 0
    locked_since = datetime(2026, 11, 22, 12, tzinfo=UTC)
    scopes = ("service:worker", "database:shop", "database:another", "service:another")

    async def lock() -> None:
        store = SqliteLedger(daemon.state_dir, Mode.ENFORCE)
        for scope in scopes:
            await store.lock(Lock(scope, locked_since, f"{scope} failed | twice"))
        await store.close()

    asyncio.run(lock())
    as_text, as_json, as_nagios = (daemon.run("check", "--format", f) for f in ("text", "json", "nagios"))
    assert {as_text.returncode, as_json.returncode, as_nagios.returncode} == {0}
    first, *lines = as_text.stdout.splitlines()
    assert first == "shop: normal (enforcing)"
    assert re.fullmatch(r"  paused until 2\d{3}-.* UTC, (1h|59m \S+) left: a deploy", lines[0])
    since = "since 2026-11-22 12:00:00 UTC"
    own = [
        f"locked {scope} {since}: {scope} failed | twice; `remediator ack` unlocks it"
        for scope in ("database:shop", "service:worker")
    ]
    assert lines[1:3] == [f"  {line}" for line in own]
    assert "another" not in as_text.stdout + as_json.stdout + as_nagios.stdout
    (record,) = records(as_json.stdout)
    assert record["pause"]["reason"] == "a deploy"
    assert [lock["scope"] for lock in record["locks"]] == ["database:shop", "service:worker"]
    (line,) = as_nagios.stdout.splitlines()
    assert line.startswith("OK - shop: ")
    assert f"; {own[1].replace('|', '/')} | 'shop_used'=" in line
    assert "; paused until " in line

    (daemon.state_dir / "ledger.db").write_bytes(b"not a database" * 1000)
    as_text, as_json = daemon.run("check", "--format", "text"), daemon.run("check")
    assert (as_text.returncode, as_json.returncode) == (0, 0)
    first, second, *lines = as_text.stdout.splitlines()
    assert first == "shop: normal (enforcing)"
    assert second.startswith("  whether anything is paused or locked is not known: ")
    assert "ledger.db" in second
    (record,) = records(as_json.stdout)
    assert (record["level"], record["pause"], record["locks"]) == ("normal", None, None)
    assert "ledger.db" in record["ledger"]


def test_a_terminal_gets_text_and_a_pipe_gets_json(app: str, watch: str, tmp_path: Path) -> None:
    """For every command that has both, without being asked."""
    daemon = Daemon(tmp_path, watch)
    with open_idle(app, 34):
        daemon.run("check")
        assert daemon.run("run", "--once").returncode == 0
    audit = ["audit", "--watch", "0s"]
    for command in (["check"], ["plan"], ["history"], ["doctor"], audit, ["run", "--once"]):
        piped = daemon.run(*command)
        assert records(piped.stdout), command
        _, shown = on_a_terminal(daemon, *command)
        assert shown.strip(), command
        assert not shown.lstrip().startswith("{"), command


def test_a_reader_that_has_seen_enough(watch: str, tmp_path: Path) -> None:
    """`remediator ... | head -1` ends without a complaint."""
    daemon = Daemon(tmp_path, watch)
    process = subprocess.Popen(
        daemon.argv("config", "show"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ.copy()
    )
    with ended(process):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


CANARY = "c4nary-p4ssword!"


@pytest.fixture
def canary_dsn(server: PostgresServer) -> str:
    """A role whose password is the canary; the DSN does not hold it."""
    create_watch_role(server, name="canary")
    server.rows("ALTER ROLE canary PASSWORD 'c4nary-p4ssword!'")
    return server.dsn("canary", None)


def _in_the_config(daemon: Daemon, dsn: str) -> None:
    daemon.config["databases"][0] |= {"dsn": dsn, "password": CANARY}


def _in_the_dsn(daemon: Daemon, dsn: str) -> None:
    daemon.config["databases"][0]["dsn"] = dsn.replace("canary@", f"canary:{CANARY}@")


def _in_a_file(daemon: Daemon, dsn: str) -> None:
    file = daemon.directory / "password"
    file.write_text(CANARY + "\n")
    file.chmod(0o600)
    daemon.config["databases"][0] |= {"dsn": dsn, "password_file": str(file)}


def _in_the_environment(daemon: Daemon, dsn: str) -> None:
    daemon.config["databases"][0]["dsn"] = dsn
    daemon.env["PGPASSWORD"] = CANARY


def _in_a_variable(daemon: Daemon, dsn: str) -> None:
    daemon.config["databases"][0] |= {"dsn": dsn, "password": "${SHOP_LOGIN}"}
    daemon.env["SHOP_LOGIN"] = CANARY


MOST_COMMANDS = [
    *(["check"], ["plan", "--all"], ["history"], ["doctor"], ["config", "show"], ["config", "check"]),
    *(["audit", "--watch", "0s", "--keep"], ["health"], ["pause"], ["resume"], ["ack"], ["run"]),
]


@pytest.mark.parametrize(
    ("put", "commands"),
    [
        (_in_the_config, MOST_COMMANDS),
        (_in_the_dsn, [["doctor"], ["config", "show"]]),
        (_in_a_file, [["doctor"], ["config", "show"]]),
        (_in_the_environment, [["doctor"], ["config", "show"]]),
        (_in_a_variable, [["doctor"], ["config", "show"]]),
    ],
)
def test_a_password_is_in_no_output_and_in_no_file_of_ours(
    put: Any, commands: list[list[str]], canary_dsn: str, app: str, tmp_path: Path
) -> None:
    """Log, ledger, heartbeat, the process's title, and what every command says."""
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    daemon = Daemon(tmp_path / "daemon", NOWHERE, worker, policy=ladder("worker"))
    daemon.config["log"] = {"level": "debug"}
    put(daemon, canary_dsn)
    daemon.write_config()
    with daemon:
        with open_idle(app, 34):
            daemon.wait_for("incident_relieved")
        said = Path(f"/proc/{daemon.pid}/cmdline").read_text()
        for command in commands:
            done = daemon.run(*command)
            assert "Traceback" not in done.stderr, command
            assert done.stdout + done.stderr, command
            said += done.stdout + done.stderr
    said += daemon.output + daemon.errors
    assert CANARY not in said
    kept = [path for path in daemon.state_dir.rglob("*") if path.is_file()]
    assert {"ledger.db", "heartbeat", "lock"} <= {path.name for path in kept}
    for path in kept:
        assert CANARY.encode() not in path.read_bytes(), path


def test_a_password_is_in_no_complaint(canary_dsn: str, tmp_path: Path) -> None:
    """Whatever is wrong with the login or with how it is written."""
    daemon = Daemon(tmp_path, NOWHERE)
    for wrong in (
        {"dsn": canary_dsn.replace("canary@", f"nobody:{CANARY}@")},
        {"dsn": canary_dsn.replace("canary@", f"canary:{CANARY}x@")},
        {"dsn": f"postgresql://canary:{CANARY}@[broken/none"},
        {"dsn": f"host=127.0.0.1 password='{CANARY} port=1"},
        {"dsn": canary_dsn, "pasword": CANARY},
        {"dsn": canary_dsn, "password": [CANARY]},
        {"dsn": canary_dsn, "connect": CANARY},
    ):
        daemon.config["databases"][0] = {"name": "shop", "policy": "quick", **wrong}
        daemon.write_config()
        for command in (["doctor"], ["run", "--once"]):
            done = daemon.run(*command)
            assert "Traceback" not in done.stderr, (wrong, command)
            assert done.stdout + done.stderr
            assert CANARY not in done.stdout + done.stderr
