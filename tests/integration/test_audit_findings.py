"""Each finding of an audit: made true on a real server, seen, and gone once its own statements were run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from remediator.core.audit.finding import Severity
from remediator.core.audit.rules import RULES
from tests.testbed.audited import WORKER, Audited
from tests.testbed.daemon import Daemon
from tests.testbed.engine import BUSYBOX_IMAGE, DockerEngine
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

if TYPE_CHECKING:
    from tests.conftest import MakePostgres, MakeProject


@pytest.fixture
def audited(postgres: PostgresServer, tmp_path: Path) -> Iterator[Audited]:
    """A server of each version, its settings as they were when the test is over."""
    app, watch = create_app_role(postgres), create_watch_role(postgres)
    daemon = Daemon(tmp_path, watch, config={"services": [WORKER]})
    try:
        yield Audited(postgres, daemon, app)
    finally:
        postgres.rows("ALTER SYSTEM RESET ALL")
        postgres.rows("SELECT pg_reload_conf()")
        postgres.rows("ALTER ROLE app RESET ALL")
        postgres.rows("ALTER ROLE app CONNECTION LIMIT -1 NOSUPERUSER")


@contextmanager
def keepalives_late(audited: Audited) -> Iterator[None]:
    """Set, but later than the service renews its connections."""
    audited.configure(max_age="10m")
    audited.sql("ALTER SYSTEM SET tcp_keepalives_idle = 3600", "SELECT pg_reload_conf()")
    yield


@contextmanager
def nothing_to_do(_: Audited) -> Iterator[None]:
    """A server as it is made."""
    yield


@contextmanager
def role_limit_near(audited: Audited) -> Iterator[None]:
    """Four of five."""
    audited.sql("ALTER ROLE app CONNECTION LIMIT 5")
    with open_idle(audited.app, 4):
        yield


@contextmanager
def database_limit_near(audited: Audited) -> Iterator[None]:
    """Five of five: a name that has to be quoted."""
    audited.sql('DROP DATABASE IF EXISTS "Pi""que"', 'CREATE DATABASE "Pi""que" CONNECTION LIMIT 5')
    with open_idle(audited.app.replace("/postgres", "/Pi%22que"), 5):
        yield


@contextmanager
def superuser_clients(audited: Audited) -> Iterator[None]:
    """An application that may do everything."""
    audited.sql("ALTER ROLE app SUPERUSER")
    with open_idle(audited.app, 3):
        yield


@contextmanager
def leak(audited: Audited) -> Iterator[None]:
    """Idle sessions."""
    with open_idle(audited.app, 4):
        yield


@contextmanager
def idle_in_transaction(audited: Audited) -> Iterator[None]:
    """A transaction that nobody ends, of a program with an odd name."""
    with open_idle(audited.app, 2, application_name='it\'s "odd"', in_transaction=True):
        yield


@contextmanager
def idle_beyond_max_age(audited: Audited) -> Iterator[None]:
    """CONN_MAX_AGE=0, and yet there are idle sessions."""
    audited.configure(max_age="0s")
    with open_idle(audited.app, 2):
        yield


@contextmanager
def never_used(audited: Audited) -> Iterator[None]:
    """Connected, and not a single statement."""
    with ExitStack() as stack:
        for _ in range(3):
            stack.callback(psycopg.connect(audited.app, application_name="leaky").close)
        yield


@contextmanager
def tool_idle(audited: Audited) -> Iterator[None]:
    """Over the weekend."""
    with open_idle(audited.app, 1, application_name="pgAdmin 4 - DB:shop"):
        yield


Scenario = Callable[[Audited], AbstractContextManager[None]]
MENDED_AT_ONCE: dict[str, Scenario] = {
    "keepalives_off": nothing_to_do,
    "keepalives_late": keepalives_late,
    "no_idle_in_transaction_timeout": nothing_to_do,
    "no_idle_session_timeout": nothing_to_do,
    "no_statement_timeout": nothing_to_do,
    "lost_clients_work_on": nothing_to_do,
    "role_limit_near": role_limit_near,
    "database_limit_near": database_limit_near,
    "superuser_clients": superuser_clients,
    "leaked_sessions": leak,
    "idle_in_transaction": idle_in_transaction,
    "idle_beyond_max_age": idle_beyond_max_age,
    "never_used": never_used,
    "tool_idle": tool_idle,
}
TESTED_BELOW = {
    "unreadable",
    "level_raised",
    "budget_exceeds_slots",
    "over_budget",
    "unattributed",
    "no_sign_of_health_checks",
    "churn",
    "no_reserved_slot",
    "no_slot_for_superusers",
    "restart_pending",
    "short_stop_grace",
    "orphans",
}
# Where a daemon records, in e2e/test_audit.py.
TESTED_ELSEWHERE = {"was_nearly_full"}


def test_each_rule_has_its_test() -> None:
    """None is left out."""
    assert {rule.id for rule in RULES} == set(MENDED_AT_ONCE) | TESTED_BELOW | TESTED_ELSEWHERE


@pytest.mark.parametrize("rule", MENDED_AT_ONCE)
def test_its_statements_mend_it(rule: str, audited: Audited) -> None:
    """As they are printed, without an edit."""
    with MENDED_AT_ONCE[rule](audited):
        audited.mended(audited.seen(rule))


def test_a_limit_that_is_reached_is_a_problem(audited: Audited) -> None:
    """Clients are refused now."""
    audited.sql("ALTER ROLE app CONNECTION LIMIT 2")
    with open_idle(audited.app, 2):
        assert audited.seen("role_limit_near").severity is Severity.PROBLEM


def test_a_timeout_counts_wherever_it_was_set(audited: Audited) -> None:
    """For everybody, for the database, for the role in it; zero is a decision too."""
    rule = "no_statement_timeout"
    for alter in ("ROLE ALL", "DATABASE postgres", "ROLE app IN DATABASE postgres"):
        audited.seen(rule)
        with open_idle(audited.app, 1):  # so that it is known which database the role uses
            audited.sql(f"ALTER {alter} SET statement_timeout = 0")
            audited.gone(rule)
            audited.sql(f"ALTER {alter} RESET statement_timeout")


def test_a_value_that_is_hidden_from_us_is_only_noted(audited: Audited) -> None:
    """The role that is recommended has timeouts of its own."""
    audited.sql("ALTER ROLE remediator SET idle_in_transaction_session_timeout = '10s'")
    try:
        found = audited.seen("no_idle_in_transaction_timeout")
        assert found.severity is Severity.NOTE
        assert "hidden from role remediator" in found.evidence
    finally:
        audited.sql("ALTER ROLE remediator RESET idle_in_transaction_session_timeout")


def test_what_services_are_meant_to_have(audited: Audited) -> None:
    """More than there is room for, and less than there is."""
    audited.configure(processes=60, threads=2)
    found = audited.seen("budget_exceeds_slots")
    assert found.severity is Severity.PROBLEM
    audited.configure(normal=90, peak=95)
    assert audited.seen("budget_exceeds_slots").severity is Severity.WARNING
    audited.configure(normal=2, peak=3)
    with open_idle(audited.app, 4):
        assert "4 sessions, 3 are the most" in audited.seen("over_budget").evidence
        audited.configure(normal=2, peak=4)
        audited.gone("over_budget")
    audited.gone("budget_exceeds_slots")


def test_a_pool_at_rest_is_no_leak(audited: Audited) -> None:
    """It may keep what it is said to need."""
    with open_idle(audited.app, 4):
        audited.seen("leaked_sessions")
        audited.configure(normal=4)
        audited.gone("leaked_sessions")
        audited.configure(normal=3)
        audited.seen("leaked_sessions")


def test_whose_sessions_are_not_known(audited: Audited) -> None:
    """Until the config says it."""
    with open_idle(audited.app, 8, application_name="who"):
        audited.seen("unattributed")
        audited.daemon.config["clients"] = [{"name": "who", "applications": ["who"]}]
        audited.daemon.write_config()
        audited.gone("unattributed")


def test_a_level_that_is_reached_now(audited: Audited) -> None:
    """Until there is room again."""
    audited.daemon.write_config(
        {"levels": {"alert": {"utilization": "21%"}, "critical": {"utilization": "99%"}}}
    )
    with open_idle(audited.app, 25):
        assert audited.seen("level_raised").severity is Severity.WARNING
        audited.daemon.write_config(
            {"levels": {"critical": {"utilization": "22%"}}, "remediate": {"until": {"utilization": "5%"}}}
        )
        assert audited.seen("level_raised").severity is Severity.PROBLEM
    audited.gone("level_raised")


def test_connections_that_are_not_tested(audited: Audited) -> None:
    """Until one of them shows a test, or the config says that they are tested before use."""
    rule = "no_sign_of_health_checks"
    with psycopg.connect(audited.app, application_name="leaky", autocommit=True) as kept:
        kept.execute("SELECT now()")
        audited.seen(rule)
        kept.execute("SELECT 1")
        audited.gone(rule)
        kept.execute("SELECT now()")
        audited.seen(rule)
        audited.configure(checked=True)
        audited.gone(rule)


def test_churn(audited: Audited) -> None:
    """One connection for each request, for as long as it is watched."""
    script = (
        "import psycopg, sys\n"
        "while True:\n"
        "    with psycopg.connect(sys.argv[1]) as c: c.execute('SELECT 1')\n"
    )
    client = subprocess.Popen([sys.executable, "-c", script, audited.app])
    try:
        deadline = time.monotonic() + 30
        while not (found := audited.found("churn", timedelta(seconds=2))):
            assert time.monotonic() < deadline
        assert "a second" in found[0].evidence
    finally:
        client.kill()
        client.wait()
    while audited.found("churn", timedelta(seconds=1)):
        assert time.monotonic() < deadline + 30


def test_what_takes_a_restart(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """The statements, a restart, and it is gone; until then it is said that one is pending."""
    server = make_postgres(18)
    audited = Audited(server, Daemon(tmp_path, create_watch_role(server)), create_app_role(server))
    audited.sql("ALTER SYSTEM SET superuser_reserved_connections = 0")
    server.restart()
    audited.configure(processes=60, threads=2)
    rules = ("no_reserved_slot", "no_slot_for_superusers", "budget_exceeds_slots")
    for rule in rules:
        audited.sql(*audited.seen(rule).statements)
    audited.sql("SELECT pg_reload_conf()")
    audited.seen("restart_pending")
    server.restart()
    for rule in (*rules, "restart_pending"):
        audited.gone(rule)


def test_a_version_that_cannot_keep_a_slot(pg15: PostgresServer, tmp_path: Path) -> None:
    """There is no statement for it then; the limits of all other roles can leave one, as it says."""
    audited = Audited(pg15, Daemon(tmp_path, create_watch_role(pg15)), create_app_role(pg15))
    assert not audited.seen("no_reserved_slot").statements
    slots = audited.report().facts.sample.slots
    assert slots is not None
    others = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND rolname <> 'remediator'"
    names = [name for (name,) in pg15.rows(others)]
    each, rest = divmod(slots.usable - 2, len(names))
    limits = [each + (n < rest) for n in range(len(names))]
    try:
        audited.sql(*(f'ALTER ROLE "{n}" CONNECTION LIMIT {m}' for n, m in zip(names, limits, strict=True)))
        audited.gone("no_reserved_slot")
        audited.sql(f'ALTER ROLE "{names[0]}" CONNECTION LIMIT {limits[0] + 1}')
        audited.seen("no_reserved_slot")
    finally:
        audited.sql(*(f'ALTER ROLE "{name}" CONNECTION LIMIT -1' for name in names))


def test_a_server_that_cannot_be_read(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """That is all that is said."""
    server = make_postgres(16)
    audited = Audited(server, Daemon(tmp_path, create_watch_role(server)), create_app_role(server))
    server.stop()
    report = audited.report()
    assert [finding.id for finding in report.findings] == ["unreadable"]
    assert not report.readable
    server.start()
    audited.gone("unreadable")


COMPOSE = f"""
services:
  patient: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true, stop_grace_period: 2m}}
  careless: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true}}
"""


def test_graces_that_are_short(
    docker_engine: DockerEngine, compose_project: MakeProject, pg16: PostgresServer, tmp_path: Path
) -> None:
    """By service, until the Compose file says another one."""
    project = compose_project(COMPOSE)
    daemon = Daemon(
        tmp_path / "d",
        create_watch_role(pg16),
        config={
            "docker": {"host": docker_engine.url},
            "services": [
                {"name": name, "compose": {"project": project.name, "service": name}}
                for name in ("patient", "careless")
            ],
        },
    )
    audited = Audited(pg16, daemon, create_app_role(pg16))
    (found,) = audited.found("short_stop_grace")
    assert found.subject == "careless"
    assert "no stop grace period of its own, so Docker's 10s" in found.evidence
