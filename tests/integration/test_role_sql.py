"""The published SQL gives remediator's role what it needs, and nothing else."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from remediator.cli import cli
from remediator.ports import Receipt
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import SUPERUSER
from tests.testbed.roles import RESERVED_SINCE, create_app_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until
from tests.testbed.watching import sessions_of, watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakePostgres
    from tests.testbed.postgres import PostgresServer

SQL = Path(__file__).parents[2] / "docs" / "sql"
PASSWORD = "of this test"
CLIENTS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


def file_for(server: PostgresServer) -> str:
    """The published file for a server's version."""
    return "role-16.sql" if server.version >= RESERVED_SINCE else "role-15.sql"


def run_published(server: PostgresServer, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a published file with psql as the superuser, by default as its first lines say."""
    psql = postgres_binaries()[server.version] / "psql"
    return subprocess.run(
        [
            psql,
            *("--no-psqlrc", *(options or ("--set=ON_ERROR_STOP=1",)), f"--file={SQL / name}"),
            *(f"--host={server.directory}", f"--port={server.port}", f"--username={SUPERUSER}", "postgres"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(params=[15, 16, 18])
def server(request: pytest.FixtureRequest, make_postgres: MakePostgres) -> Iterator[PostgresServer]:
    """A server that the published file for its version was run on, restarted as the file says."""
    made = make_postgres(request.param, max_connections=20)
    done = run_published(made, file_for(made))
    assert done.returncode == 0, done.stderr
    with made.superuser() as connection:
        connection.execute(sql.SQL("ALTER ROLE remediator PASSWORD {}").format(sql.Literal(PASSWORD)))
    made.restart()
    yield made
    made.stop()


def test_the_role_has_these_rights_and_no_others(server: PostgresServer) -> None:
    """Member of exactly these roles; owns nothing; none of a role's own powers."""
    rights = {"pg_read_all_stats", "pg_signal_backend"}
    if server.version >= RESERVED_SINCE:
        rights |= {"pg_use_reserved_connections"}
    found = server.rows(
        "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid "
        "JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = 'remediator'"
    )
    assert {name for (name,) in found} == rights
    assert server.rows(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit "
        "FROM pg_roles WHERE rolname = 'remediator'"
    ) == [(False, False, False, False, False, 7)]
    assert (
        server.rows("SELECT classid::regclass FROM pg_shdepend WHERE refobjid = 'remediator'::regrole") == []
    )


def test_doctor_is_content(server: PostgresServer, tmp_path: Path) -> None:
    """On 16 and later nothing is missing; before that, only the slot that nobody can keep there."""
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    dsn = server.dsn("remediator", None)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"version: 1\nmode: enforce\nstate_dir: {state}\n"
        f"databases: [{{name: shop, dsn: {json.dumps(dsn)}, password_file: {secret}}}]\n"
    )
    result = CliRunner().invoke(cli, ["doctor", "--config", str(config), "--format", "json"])
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(findings) > 4, result.output
    wanting = [finding["text"] for finding in findings if finding["grade"] != "ok"]
    if server.version >= RESERVED_SINCE:
        assert wanting == []
    else:
        assert len(wanting) == 1
        assert wanting[0].startswith("no slot is kept for us")


async def test_it_gets_in_when_full_sees_all_terminates_and_reads_no_table(server: PostgresServer) -> None:
    """What the rights are for, done; and what they are not for, refused."""
    app = create_app_role(server)
    server.rows("CREATE TABLE orders AS SELECT 1 AS id")
    dsn = server.dsn("remediator", PASSWORD)
    with server.superuser() as only:
        wait_until(lambda: only.execute(CLIENTS).fetchone() == (1,), what="other sessions to end")
        # 20 less 3 for superusers, 2 reserved and the superuser's own: on 16 and later, all there are.
        with open_idle(app, 14) as pids:
            if server.version >= RESERVED_SINCE:
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(app)
            async with watching(dsn, probe_every=0) as database:
                chosen = await sessions_of(database, pids[:1])
                assert await database.terminate(chosen, timedelta(0)) == (Receipt.SENT,)
                assert await database.alive([chosen[0].id], timedelta(seconds=10)) == frozenset()
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM public.orders")


@pytest.mark.parametrize("options", [("--set=ON_ERROR_STOP=1",), ("--set=ON_ERROR_STOP=0",)])
@pytest.mark.parametrize(
    ("version", "wrong", "advice"), [(15, "role-16.sql", "role-15.sql"), (16, "role-15.sql", "role-16.sql")]
)
def test_the_file_for_another_version_says_so_and_leaves_no_role(
    make_postgres: MakePostgres, version: int, wrong: str, advice: str, options: tuple[str, ...]
) -> None:
    """Also when psql goes on after the error; afterwards the right file works."""
    server = make_postgres(version)
    refused = run_published(server, wrong, *options)
    assert f"use {advice}" in refused.stderr
    assert (refused.returncode == 0) is (options[0].endswith("0"))
    assert server.rows("SELECT rolname FROM pg_roles WHERE rolname = 'remediator'") == []
    assert file_for(server) == advice
    assert run_published(server, advice).returncode == 0
    assert server.rows("SELECT rolname FROM pg_roles WHERE rolname = 'remediator'") == [("remediator",)]


def test_starting_over_is_dropping_the_role(server: PostgresServer) -> None:
    """A second run changes nothing of the role; after DROP ROLE it is made anew."""
    before = server.rows("SELECT oid FROM pg_roles WHERE rolname = 'remediator'")
    assert "already exists" in run_published(server, file_for(server)).stderr
    assert server.rows("SELECT oid FROM pg_roles WHERE rolname = 'remediator'") == before
    server.rows("DROP ROLE remediator")
    assert run_published(server, file_for(server)).returncode == 0
    assert server.rows("SELECT oid FROM pg_roles WHERE rolname = 'remediator'") != before
