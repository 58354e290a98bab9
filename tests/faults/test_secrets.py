"""Secrets from every place they can come from, in nothing that was written: each byte is searched."""

from __future__ import annotations

import json
import signal
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from psycopg import sql

from tests.conftest import MakeProject
from tests.faults.conftest import Figure
from tests.testbed.daemon import Daemon, ladder
from tests.testbed.engine import BUSYBOX_IMAGE, DockerEngine
from tests.testbed.postgres import PostgresServer
from tests.testbed.receivers import HttpReceiver, free_port
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

PLACES = (
    *("key", "keywords", "url", "query", "variable", "variable_in_url"),
    *("file", "file_variable", "credential", "pgpassword", "database_url"),
)
HOOKS = ("hook_password", "hook_path", "hook_header")
# What is said about everything, in both forms; what each other command says is tried in tests/e2e.
WELL = ("check --format text", "plan --all --format json", "history --format text", "doctor --format json")
ILL = ("check --format json", "doctor --format text")
OURS = "FROM pg_stat_activity WHERE usename = ANY(%(roles)s)"
ROLES = {"roles": list(PLACES)}
LIBRARIES = ("psycopg", "docker", "urllib3", "asyncio", "apscheduler", "remediator", "apprise", "requests")
WATCH: dict[str, Any] = {
    "name": "watch",
    "check_every": dict.fromkeys(("normal", "monitor", "alert", "critical"), "800ms"),
    "remediate": {"steps": []},
}


@pytest.fixture(scope="module")
def server(postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A server that logs as much as it can of its clients."""
    told = {"log_statement": "all", "log_connections": "on", "log_min_messages": "debug1"}
    with PostgresServer(16, postgres_versions[16], {"max_connections": 60, **told}) as running:
        yield running


def canary(place: str) -> str:
    """The secret of a place; it looks different in each encoding."""
    return f'cnry {place}\'s "p@ss"/wört%41\\x'


def forms(secret: str) -> set[bytes]:
    """A secret in every encoding in which it might turn up."""
    raw = secret.encode()
    shifted = [b64encode(bytes(n) + raw)[4:-4] for n in range(3)]
    texts = (
        *(repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]),
        *(quote(secret), quote(secret, safe=""), quote_plus(secret), raw.hex()),
        *(secret.replace("'", "''"), secret.replace("\\", "\\\\").replace("'", "\\'")),
    )
    return {raw, *(text.encode() for text in texts), *shifted}


def mark(place: str) -> str:
    """The part of a place's secret that only base64 and hexadecimal change."""
    return f"cnry-{place}-7f3a"


def found(data: bytes, places: Iterable[str] = (*PLACES, *HOOKS)) -> list[str]:
    """The places whose secrets can be read in these bytes, in whatever encoding, if only in part."""
    return [
        place
        for place in places
        if any(form in data for form in {mark(place).encode(), *forms(canary(place))})
    ]


class Planted:
    """A daemon with a database for each place, whose password comes from there, and whom to notify.

    Attributes:
        daemon: Not started yet.
        inputs: The files in which secrets were planted; only these may hold any.
    """

    def __init__(self, directory: Path, server: PostgresServer, hook: HttpReceiver) -> None:
        self.directory = directory
        self.server = server
        self.inputs: set[Path] = set()
        databases = [self._database(place) for place in PLACES]
        # Low enough to stay critical while the daemon's own sessions, which are idle as well, come and go.
        levels = {"levels": {"critical": {"utilization": "55%"}}}
        self.daemon = Daemon(directory / "daemon", {}, policy=ladder("api") | levels)
        config = self.daemon.config
        config["log"] = {"level": "debug"}
        config["databases"] = databases
        config["policies"].append({**config["policies"][0], **WATCH})
        config["policies"][0]["remediate"]["until"] = {"utilization": "5%"}
        config["services"] = [self._service()]
        config["notify"] = self._targets(hook)
        self.daemon.write_config()
        self.inputs.add(self.daemon.config_file)
        self._environment()

    def _database(self, place: str) -> dict[str, Any]:
        create_watch_role(self.server, name=place)
        self.set_password(place, canary(place))
        dsn = self.server.dsn(place, None)
        if place == "key":  # not in the others' database, in which only one may act, whichever is first
            self.server.rows("CREATE DATABASE acts")
            dsn = self.server.dsn(place, None, dbname="acts")
        encoded = quote(canary(place), safe="")
        escaped = canary(place).replace("\\", "\\\\").replace("'", "\\'")
        with_password = self.server.dsn(place, canary(place))
        own: dict[str, Any] = {
            "key": {"dsn": dsn, "password": canary(place)},
            "keywords": {
                "dsn": f"host={self.server.host} port={self.server.port} user={place} dbname=postgres"
                f" password='{escaped}'"
            },
            "url": {"dsn": with_password},
            "query": {"dsn": f"{dsn}?password={encoded}"},
            "variable": {"dsn": dsn, "password": "${SHOP_LOGIN}"},
            "variable_in_url": {"dsn": dsn.replace("@", ":${SHOP_LOGIN_ENCODED}@")},
            "file": {"dsn": dsn, "password_file": str(self._file("file", "password"))},
            "file_variable": {"dsn": dsn},
            "credential": {"dsn": dsn, "password_file": "credential"},
            "pgpassword": {"dsn": dsn},
            "database_url": {},
        }[place]
        connect = {"timeout": "2s", "query_timeout": "2s", "probe_every": "300ms"}
        policy = "quick" if place == "key" else "watch"
        return {"name": place, "connect": connect, "policy": policy, **own}

    def _targets(self, hook: HttpReceiver) -> list[dict[str, Any]]:
        """Two that can be reached and one that cannot, each with a secret in another part of its URL."""
        # A path is written anew by each library that it goes through.
        password, path, header = (quote(f"{mark(place)} T0k3n@\u00e9", safe="") for place in HOOKS)
        file = self.directory / "hook"
        file.write_text(f"json://127.0.0.1:{hook.port}/{path}")
        file.chmod(0o600)
        self.inputs.add(file)
        self.daemon.env["SHOP_HOOK"] = f"json://127.0.0.1:{free_port()}/?+X-Token={header}"
        return [
            {"name": HOOKS[0], "url": f"json://shop:{password}@127.0.0.1:{hook.port}"},
            {"name": HOOKS[1], "url_file": str(file)},
            {"name": HOOKS[2], "url": "${SHOP_HOOK}"},
        ]

    def _file(self, place: str, name: str) -> Path:
        path = self.directory / name
        path.write_text(canary(place) + "\n")
        path.chmod(0o600)
        self.inputs.add(path)
        return path

    def _environment(self) -> None:
        (self.directory / "credentials").mkdir()
        self.daemon.env |= {
            "SHOP_LOGIN": canary("variable"),
            "SHOP_LOGIN_ENCODED": quote(canary("variable_in_url"), safe=""),
            "REMEDIATOR_FILE_VARIABLE_PASSWORD_FILE": str(self._file("file_variable", "another")),
            "CREDENTIALS_DIRECTORY": str(self._file("credential", "credentials/credential").parent),
            "PGPASSWORD": canary("pgpassword"),
            "DATABASE_URL": self.server.dsn("database_url", canary("database_url")),
            **debugging(self.directory),
        }

    def _service(self) -> dict[str, Any]:
        """A service whose restart fails, and says the password and all that it knows of us."""
        script = self.directory / "restart.py"
        script.write_text(
            dedent(
                f"""\
                import os, sys
                from pathlib import Path
                seen = Path("/proc/self/environ").read_bytes()
                seen += Path(f"/proc/{{os.getppid()}}/cmdline").read_bytes()
                Path({str(self.directory / "seen")!r}).write_bytes(seen)
                print({canary("url")!r}, repr({canary("key")!r}), {self.server.dsn("url", canary("url"))!r},
                    file=sys.stderr)
                sys.exit(1)
                """
            )
        )
        self.inputs.add(script)
        command = {"restart": [sys.executable, str(script)], "inspect": ["echo", canary("url")]}
        return {"name": "api", "command": command}

    def set_password(self, place: str, password: str) -> None:
        """Give a role this password."""
        change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(place), sql.Literal(password))
        with self.server.superuser() as connection:
            connection.execute("SET log_statement = 'none'")  # what the superuser says is not ours
            connection.execute("SET log_min_messages = 'fatal'")
            connection.execute(change)

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was written, by name."""
        for path in sorted(self.directory.rglob("*")):
            if path.is_file() and path not in self.inputs:
                yield str(path.relative_to(self.directory)), path.read_bytes()
        yield "the server's log", self.server.log.encode()


def debugging(directory: Path) -> dict[str, str]:
    """Variables that make libraries, asyncio and the interpreter say all they can."""
    library = directory / "library"
    library.mkdir()
    levels = "\n".join(f"logging.getLogger({name!r}).setLevel(logging.DEBUG)" for name in LIBRARIES)
    (library / "sitecustomize.py").write_text(f"import logging\n{levels}\n")
    return {"PYTHONPATH": str(library), "PYTHONASYNCIODEBUG": "1", "PYTHONFAULTHANDLER": "1"}


def run_all(planted: Planted, *commands: str) -> None:
    """Run commands, and keep what they say."""
    for command in commands:
        done = planted.daemon.run(*command.split())
        assert "Traceback" not in done.stderr, command
        number = len(list(planted.directory.glob("said-*")))
        (planted.directory / f"said-{number}").write_text(done.stdout + done.stderr)


def titles(pid: int) -> bytes:
    """The command lines of a process and of its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return b"".join(Path(f"/proc/{p}/cmdline").read_bytes() for p in (pid, *children))


BROKEN = (
    '"databases": 5, "mode": {',
    '"databases": [{"name": "key", "dsn": "SECRET"}]',
    '"databases": [{"name": "key", "dsn": "postgresql://u:SECRET@"}]',
    '"databases": [{"name": "key", "pasword": "SECRET"}]',
    '"databases": [{"name": "key", "password": ["SECRET"]}]',
    '"databases": [{"name": "SECRET", "SECRET": "SECRET", "dsn": "host=h password=SECRET"}]',
    '"notify": [{"name": "a", "url": "SECRET"}]',
    '"notify": [{"name": "a", "url": "slack://SECRET/SECRET"}]',
    '"notify": [{"name": "a", "url": ["SECRET"]}]',
    '"notify": [{"name": "a", "ulr": "SECRET"}]',
    '"docker": {"host": "tcp://admin:SECRET@proxy:2375"}',
)


def test_no_secret_is_in_anything_that_was_written(
    server: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    """A different secret from each place, with all going well and with all going wrong.

    Given databases whose passwords come from every place there is, people who are told by URLs with secrets
    in each part, everything logging all it can,
    When there is an incident, a command prints secrets, the config breaks right beside a secret, passwords
    are refused, the server goes away and the daemon is aborted,
    Then no secret, encoded in whatever way, is in any byte of output, log, ledger, heartbeat, lock, process
    title, a command's environment, the outbox, a message, or the server's own view and log.
    """
    app = create_app_role(server)
    hook = HttpReceiver()
    planted = Planted(tmp_path, server, hook)
    daemon = planted.daemon
    with hook, daemon:
        for place in PLACES:
            daemon.wait_for("cycle", database=place, unknown=False)
        with open_idle(app, 4), open_idle(app, 34, in_transaction=True):
            daemon.wait_for("action_finished", action="terminate", database="key")
            daemon.wait_for("action_finished", action="restart", database="key")
            daemon.wait_for("notification_failed", target="hook_header")
            daemon.wait(lambda: any("restart" in title for title in hook.titles), "the restart to be told")
            run_all(planted, *WELL, "config show", "notify test")
        (tmp_path / "titles").write_bytes(titles(daemon.pid))
        (tmp_path / "view").write_text(repr(server.rows(f"SELECT application_name, query {OURS}", ROLES)))

        good = daemon.config_file.read_text()
        for number, broken in enumerate(BROKEN):
            secret = json.dumps(canary("url"))[1:-1]
            daemon.config_file.write_text("{" + broken.replace("SECRET", secret) + "}")
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("config_rejected", times=number + 1)
        run_all(planted, "config check", "run")
        daemon.config_file.write_text(good)

        for place in PLACES:
            planted.set_password(place, "another")
        server.rows(f"SELECT pg_terminate_backend(pid) {OURS}", ROLES)
        for place in PLACES:
            daemon.wait_for("cycle", database=place, trouble="denied")
        run_all(planted, *ILL)
        server.stop("immediate")
        daemon.wait_for("cycle", trouble="unreachable")
        run_all(planted, ILL[1])
        daemon.signal(signal.SIGABRT)
        daemon.exited()
        daemon.start()
        daemon.kill()
    server.start()
    (tmp_path / "messages").write_text(json.dumps(hook.received, ensure_ascii=False))

    written = dict(planted.written())
    leaks = {name: places for name, data in written.items() if (places := found(data))}
    assert leaks == {}
    # Both are only true when the search is about something.
    wanted = {"ledger.db", "heartbeat", "outbox.db"}
    assert {*(f"daemon/state/{name}" for name in wanted), "daemon/out.log", "seen"} <= written.keys()
    assert {message["title"][:5] for message in hook.received} >= {"key: ", "remed"}
    assert b"********" in written["daemon/out.log"]
    every = (*PLACES, *HOOKS)
    assert all(found(form, (place,)) for place in every for form in forms(canary(place)))
    figure(
        "searched",
        f"{len(written)} files, {sum(map(len, written.values())) / 1e6:.1f} MB, {len(every)} secrets",
    )


def test_a_password_that_libpq_finds_by_itself_is_not_repeated(
    server: PostgresServer, tmp_path: Path
) -> None:
    """In a file of libpq's own, which is never ours to read.

    Given a password file, once with the right password and once with a wrong one,
    When the daemon's commands connect with it,
    Then the first gets in, the other is refused, and neither is repeated.
    """
    create_watch_role(server, name="libpq")
    with server.superuser() as connection:
        change = sql.SQL("ALTER ROLE libpq PASSWORD {}")
        connection.execute(change.format(sql.Literal(mark("libpq"))))
    file = tmp_path / "pgpass"
    daemon = Daemon(tmp_path / "daemon", server.dsn("libpq", None), env={"PGPASSFILE": str(file)})
    for password, code in ((mark("libpq"), 0), (f"{mark('libpq')}-wrong", 3)):
        file.write_text(f"*:*:*:*:{password}\n")
        file.chmod(0o600)
        done = daemon.run("check", "--format", "text")
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout
        assert mark("libpq") not in done.stdout + done.stderr


def test_a_containers_environment_is_not_repeated(
    server: PostgresServer, compose_project: MakeProject, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    """The engine shows it to us whenever we look at a container.

    Given a service with a password in its environment,
    When it is looked at with everything logging all it can, and restarted,
    Then all of that is told, and the password is not.
    """
    project = compose_project(
        f"""
services:
  web:
    image: {BUSYBOX_IMAGE}
    command: sleep 3600
    stop_signal: SIGKILL
    environment: {{LOGIN: {mark("container")}}}
"""
    )
    service = {"name": "web", "compose": {"project": project.name, "service": "web"}}
    daemon = Daemon(tmp_path / "daemon", create_watch_role(server), policy=ladder("web", terminate=False))
    daemon.config |= {"services": [service], "docker": {"host": docker_engine.url}, "log": {"level": "debug"}}
    daemon.write_config()
    daemon.env |= debugging(tmp_path)
    app = create_app_role(server)
    with daemon, open_idle(app, 47, in_transaction=True):
        daemon.wait_for("action_finished", action="restart", outcome="confirmed")
        said = [daemon.run(*command.split()) for command in (WELL[1], WELL[3])]
    assert all(done.stdout for done in said)
    text = "".join(done.stdout + done.stderr for done in said) + daemon.output + daemon.errors
    assert "docker" in text
    assert not found(text.encode(), ["container"])
    for path in daemon.state_dir.iterdir():
        assert not found(path.read_bytes(), ["container"]), path
