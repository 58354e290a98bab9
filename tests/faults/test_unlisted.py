"""Faults of kinds that no other scenario has: what other people's settings, hands and clocks can do to us."""

from __future__ import annotations

import secrets
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import LiteralString

import pytest

from tests.faults.conftest import Figure
from tests.testbed.daemon import Daemon, ended, ladder, outcomes
from tests.testbed.elapsed import Stopwatch
from tests.testbed.faketime import server_with_clock
from tests.testbed.missing import missing
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

# What a database's owner may put in our way: names of PostgreSQL's own, and a path that finds them first.
HIJACK = """
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE VIEW evil.pg_stat_activity AS SELECT * FROM pg_catalog.pg_stat_activity WHERE false;
GRANT SELECT ON evil.pg_stat_activity TO PUBLIC;
CREATE FUNCTION evil.set_config(text, text, bool) RETURNS text LANGUAGE plpgsql
    AS $$ BEGIN RAISE LOG 'hijacked as %', current_user; RETURN ''; END $$;
CREATE FUNCTION evil.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql
    AS $$ BEGIN RAISE LOG 'hijacked as %', current_user; RETURN true; END $$;
CREATE FUNCTION public.width_bucket(float8, float8[]) RETURNS int LANGUAGE plpgsql
    AS $$ BEGIN RAISE LOG 'hijacked as %', current_user; RETURN 0; END $$;
"""
SLOWLY = {
    "remediate": {"settle": "200ms", "retry": "200ms"},
    "limits": {"terminate": {"per_step": "20%", "per_hour": 10000}, "failed_rounds": 1000},
}


@pytest.mark.parametrize("path", ["evil, pg_catalog", '"$user", public'], ids=["shadowed", "better-match"])
def test_nothing_of_a_databases_owner_runs_with_our_rights(
    path: LiteralString, server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """What others may create or set in the database of our DSN is not ours to run, or to be misled by.

    Given functions and a view named as PostgreSQL's own, in schemas on the search path or better matches,
    and a DateStyle that nobody can read
    When its server is full of leaks
    Then they are seen and ended as ever, and none of those functions has run.
    """
    with _database(server, "hijacked"):
        with server.superuser("hijacked") as owner:
            owner.execute(HIJACK)
            owner.execute("ALTER DATABASE hijacked SET search_path = " + path)
            owner.execute("ALTER DATABASE hijacked SET datestyle = 'German'")
            owner.execute("ALTER DATABASE hijacked SET intervalstyle = 'sql_standard'")
        dsn = watch.replace("/postgres", "/hijacked")
        with Daemon(tmp_path, dsn, policy=ladder()) as daemon, open_idle(app, 34) as leaked:
            daemon.wait_for("incident_relieved")
            assert server.alive(leaked) < set(leaked)
            assert not daemon.said("cycle_failed")
            assert not daemon.said("evidence_lost")
        assert "hijacked as" not in server.log


def test_our_role_is_dropped_and_made_anew(
    server: PostgresServer, app: str, watch: str, tmp_path: Path, figure: Figure
) -> None:
    """An open session goes on as a role that is no more, and as none that comes after it.

    Given leaks that are ended a few at a time
    When our role is dropped in the middle, and later another one of that name is made
    Then that is said in the server's words and nothing is done, and with the new role it goes on by itself.
    """
    with Daemon(tmp_path, watch, policy={**ladder(), **SLOWLY}) as daemon, open_idle(app, 34) as leaked:
        daemon.wait_for("action_finished")
        server.rows("DROP ROLE remediator")
        daemon.wait_for("cycle", trouble="denied")
        left = server.alive(leaked)
        daemon.wait_cycles(2, trouble="denied")
        assert server.alive(leaked) == left
        create_watch_role(server)
        made = Stopwatch()
        daemon.wait_for("evidence_regained")
        figure("watched again after", str(made))
        daemon.wait_for("incident_relieved")
        assert not daemon.said("cycle_failed")
        daemon.terminate()
        # One that was ended right before may be verified too late to be told.
        gone = set(leaked) - server.alive(leaked)
        assert _pids(daemon, "confirmed") <= gone <= _pids(daemon, "confirmed", "unknown")


def test_the_servers_clock_is_set(postgres_versions: Mapping[int, Path], tmp_path: Path) -> None:
    """A server that tells ages by a clock that leaps calls everybody old.

    Given a server that is full of sessions too young to be ended, and a daemon that has seen it so
    When the server's clock is set ahead by two hours, and back again
    Then that is said, and nobody is ended for it.
    """
    with server_with_clock(postgres_versions, max_connections=40) as (server, clock):
        watch, app = create_watch_role(server), create_app_role(server)
        steps = {"remediate": {"steps": [{"terminate_idle": {"older_than": "1h"}}]}}
        with Daemon(tmp_path, watch, policy=steps) as daemon, open_idle(app, 34) as young:
            daemon.wait_for("incident_held")
            for offset in (7200, 0, 7200):
                change = offset - clock.offset
                clock.set(offset)
                daemon.wait(lambda change=change: _leapt(daemon) == change, f"a leap of {change} s")
                daemon.wait_cycles(3, level="critical")
            assert server.alive(young) == set(young)
            assert not daemon.said("action_intended")
            assert not daemon.said("cycle_failed")


def _leapt(daemon: Daemon) -> int | None:
    """By how much the server's clock was set last, to the minute."""
    said = daemon.said("server_clock_jumped")
    return round(said[-1]["seconds"] / 60) * 60 if said else None


@pytest.mark.parametrize("closed", ["2", "012"])
def test_standard_streams_that_are_closed(
    closed: str, server: PostgresServer, app: str, watch: str, tmp_path: Path
) -> None:
    """What is opened next gets the number of a stream that was closed, and then whatever is complained of.

    Given a daemon that was started with streams closed
    When the server is full of leaks
    Then they are ended and recorded, and no file or socket of ours has the number of a stream.
    """
    daemon = Daemon(tmp_path, watch, policy=ladder())

    shell = " ".join(['exec "$@"', *(f"{number}>&-" for number in closed)])
    with (
        (tmp_path / "out.log").open("wb") as out,
        subprocess.Popen(["sh", "-c", shell, "sh", *daemon.argv("run")], stdout=out) as process,
        ended(process),
        open_idle(app, 34) as leaked,
    ):
        wait_until(lambda: server.alive(leaked) < set(leaked), what="leaks to be ended")
        streams = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in closed]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert streams == ["/dev/null"] * len(closed)
    assert ("terminate", "confirmed") in outcomes(daemon.entries())


def test_somebody_keeps_the_ledger_busy(server: PostgresServer, app: str, watch: str, tmp_path: Path) -> None:
    """An administrator looks at the ledger, and forgets to end the transaction.

    Given leaks that are ended a few at a time
    When another process locks the ledger's file
    Then that is said and nothing is done until it is over, and nothing is lost or done twice.
    """
    with Daemon(tmp_path, watch, policy={**ladder(), **SLOWLY}) as daemon, open_idle(app, 34) as leaked:
        daemon.wait_for("action_finished")
        with closing(sqlite3.connect(daemon.state_dir / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            because = daemon.wait_for("ledger_unavailable")["because"]
            assert "another process keeps it busy" in because
            left = server.alive(leaked)
            daemon.wait_cycles(1)
            assert server.alive(leaked) == left
        daemon.wait_for("ledger_available")
        daemon.wait_for("incident_relieved")
        daemon.terminate()
        assert outcomes(daemon.entries()).count(("terminate", "confirmed")) == len(_pids(daemon, "confirmed"))
        assert _pids(daemon, "confirmed") == set(leaked) - server.alive(leaked)


def test_a_resolver_that_hangs(server: PostgresServer, app: str, watch: str, tmp_path: Path) -> None:
    """Whoever waits for a name server waits for half a minute and longer.

    Given more databases than there are threads, by names that a name server is asked for in vain,
    and others beside them: one whose name needs none, and one whose second host is such a name
    When those are full of leaks
    Then they are checked and remedied as ever, what is wrong with the rest is said, and no end is held up.
    """
    unknown = {f"lost{n}": watch.replace("127.0.0.1", f"db{n}.example.org") for n in range(8)}
    pair = watch.replace(f"127.0.0.1:{server.port}", f"db8.example.org:{server.port},localhost:{server.port}")
    dsns = {**unknown, "shop": watch.replace("127.0.0.1", "localhost"), "pair": pair}
    daemon = _Unresolving(tmp_path, dsns, policy=ladder())
    with _silent_name_server(tmp_path), daemon, open_idle(app, 34) as leaked:
        for name in unknown:
            because = daemon.wait_for("evidence_overdue", database=name)["because"]
            assert f"no answer from the resolver about db{name[-1]}.example.org" in because
        daemon.wait_for("cycle", database="pair", unknown=False)
        daemon.wait_for("incident_relieved", database="shop")
        assert server.alive(leaked) < set(leaked)
        assert not daemon.said("evidence_lost", database="shop")
        assert daemon.terminate(within=20) == 0


def _pids(daemon: Daemon, *results: str) -> set[int]:
    """The sessions whose termination came to one of these results."""
    entries = [e for e in daemon.entries() if e["outcome"]["result"] in results]
    return {e["action"]["session"]["pid"] for e in entries}


class _Unresolving(Daemon):
    """A daemon that sees a `resolv.conf` of its own."""

    def argv(self, *arguments: str) -> list[str]:
        mount = f'mount --bind "{self.directory}/resolv.conf" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", mount, "sh", *super().argv(*arguments)]


@contextmanager
def _silent_name_server(directory: Path) -> Iterator[None]:
    """A name server that takes every question, and a `resolv.conf` that sends them there."""
    address = f"127.66.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    text = f"nameserver {address}\noptions timeout:30 attempts:5\n"
    (directory / "resolv.conf").write_text(text)
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        missing("no mount namespaces here (needs root)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((address, 53))
        yield


@contextmanager
def _database(server: PostgresServer, name: LiteralString) -> Iterator[None]:
    """A database of the server for as long as it is needed."""
    server.rows("CREATE DATABASE " + name)
    try:
        yield
    finally:
        server.rows("DROP DATABASE " + name + " WITH (FORCE)")
