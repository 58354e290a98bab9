"""Names that strangers chose, on a person's terminal; those of roles and databases may hold any character."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql

from tests.testbed.daemon import Daemon
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.web import ask, free_port

ROLE = "ev\x1b[2Jil\x9b31m\u202e\nlevel normal"
SEEN = "ev\\x1b[2Jil\\x9b31m\\u202e\\nlevel normal"
POLICY = {
    "levels": {"alert": {"utilization": "22%"}, "critical": {"utilization": "25%"}},
    "remediate": {"until": {"utilization": "5%"}, "steps": [{"terminate_idle": {"older_than": "300ms"}}]},
}
# Each with whether it names who holds the sessions in a person's words.
BEFORE = {
    ("check", "--format", "text"): True,
    ("check", "--format", "nagios"): False,
    ("check", "--format", "json"): False,
    ("plan", "--all", "--format", "text"): True,
    ("plan", "--format", "json"): False,
    ("audit", "--watch", "0s", "--format", "text"): True,
    ("audit", "--watch", "0s", "--format", "json"): False,
    ("doctor", "--format", "text"): False,
}
AFTER = {
    ("history", "--format", "text"): True,
    ("history", "--format", "json"): False,
    ("history", "show", "last", "--format", "text"): True,
    ("history", "show", "last", "--format", "md"): False,
    ("history", "show", "last", "--format", "json"): False,
}


@pytest.fixture
def hostile(postgres: PostgresServer) -> str:
    """The DSN of a role, and a database, with such a name."""
    with postgres.superuser() as person:
        found = person.execute("SELECT FROM pg_database WHERE datname = %s", [ROLE])
        if not found.rowcount:
            person.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(ROLE)))
    return create_app_role(postgres, name=ROLE).replace("/postgres", f"/{quote(ROLE)}")


def test_nothing_of_a_name_reaches_the_terminal_as_it_is(
    hostile: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Given idle sessions of it, then each command shows the name in signs that can be seen, on one line."""
    port, watch = free_port(), create_watch_role(postgres)
    config = {"web": {"listen": f"127.0.0.1:{port}"}}
    wide = {"COLUMNS": "1000"}  # a name that is wrapped cannot be looked for
    daemon = Daemon(tmp_path / "d", watch, mode="dry-run", policy=POLICY, config=config, env=wide)
    with open_idle(hostile, 34, application_name=""):
        for arguments, named in BEFORE.items():
            look(daemon, arguments, named=named)
        with daemon:
            daemon.wait_for("action_finished", action="terminate")
            page = ask(port, "/").body
            assert SEEN.partition("\\n")[0] in page
            assert all(line.isprintable() for line in page.split("\n"))
            assert daemon.terminate() == 0
        for arguments, named in AFTER.items():
            look(daemon, arguments, named=named)


def look(daemon: Daemon, arguments: tuple[str, ...], *, named: bool) -> None:
    """Run a command and look at what it prints."""
    done = daemon.run(*arguments)
    lines = [*done.stdout.split("\n"), *done.stderr.split("\n")]
    assert done.stdout
    assert all(line.isprintable() for line in lines), (arguments, lines)
    assert not named or SEEN in done.stdout, arguments
    if arguments[-1] == "json":
        assert all(json.loads(line) for line in done.stdout.splitlines())
