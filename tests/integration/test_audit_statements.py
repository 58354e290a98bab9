"""Statements that an audit prints, run on a real server: sessions that are meant go, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from math import inf
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.auditing.gather import settled
from remediator.core.audit.sessions import Holding
from remediator.core.audit.sql import identifier, literal, terminate
from remediator.core.owner import Owner
from tests.testbed.audited import WORKER, Audited
from tests.testbed.daemon import Daemon
from tests.testbed.faketime import server_with_clock
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until
from tests.testbed.watching import watching

# By which two readings of clocks differ that are of the same moment.
A_LITTLE = timedelta(milliseconds=10)
# Ends the text where backslashes are escapes, and goes on with a condition that holds for everybody.
INJECTION = r"\' OR true OR application_name = \'"


@pytest.fixture
def audited(postgres: PostgresServer, tmp_path: Path) -> Audited:
    """A server of each version."""
    daemon = Daemon(tmp_path, create_watch_role(postgres), config={"services": [WORKER]})
    return Audited(postgres, daemon, create_app_role(postgres))


@pytest.fixture
def bystander(audited: Audited) -> Iterator[int]:
    """A session of the same role, which is no part of any finding."""
    with closing(psycopg.connect(audited.app, application_name="bystander", autocommit=True)) as session:
        session.execute("SELECT 1")
        yield session.info.backend_pid


def test_who_listens_lives(audited: Audited, bystander: int) -> None:
    """Its connection is idle for as long as nothing is told, as the daemon knows too."""
    with (
        open_idle(audited.app, 4) as leaked,
        closing(psycopg.connect(audited.app, application_name="leaky", autocommit=True)) as listener,
    ):
        listener.execute("listen news")
        audited.swept(audited.seen("leaked_sessions"), leaked, [listener.info.backend_pid, bystander])


def test_of_those_never_used_no_other_goes(audited: Audited) -> None:
    """The same program's other sessions are idle just as long, and are used; its pool has tested some."""
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(
                closing(psycopg.connect(audited.app, application_name="leaky", autocommit=True))
            )
            for _ in range(7)
        ]
        unused, used, tested = sessions[:3], sessions[3:5], sessions[5:]
        for session in (*used, *tested):
            session.execute("SELECT 1")
        for session in tested:
            session.execute("")
        ends, lives = ([one.info.backend_pid for one in group] for group in (unused, (*used, *tested)))
        audited.swept(audited.seen("never_used"), ends, lives)


def test_a_local_session_is_not_taken_for_one_from_afar(postgres: PostgresServer) -> None:
    """The same role and name, once over the server's own socket, once over the network."""
    dsn = create_app_role(postgres)
    over_the_socket = dsn.replace(f"127.0.0.1:{postgres.port}", quote(str(postgres.directory), safe=""))
    with (
        closing(
            psycopg.connect(over_the_socket, port=postgres.port, application_name="leaky", autocommit=True)
        ) as near,
        open_idle(dsn, 1) as far,
    ):
        near.execute("SELECT 1")
        for local, addresses, ended in ((True, (), [near.info.backend_pid]), (False, ("127.0.0.1",), far)):
            held = Holding(Owner(), "app", "leaky", 1, 0.0, None, addresses, local=local)
            with postgres.superuser() as person:
                rows = person.execute(
                    terminate(held, timedelta(0)).replace("pg_terminate_backend(pid)", "pid").encode()
                ).fetchall()
            assert [pid for (pid,) in rows] == ended
        both = Holding(Owner(), "app", "leaky", 2, 0.0, None, ("127.0.0.1",), local=True)
        with postgres.superuser() as person:
            assert len(person.execute(terminate(both, timedelta(0)).encode()).fetchall()) == 2


def test_a_name_is_text_wherever_backslashes_are_escapes(audited: Audited, bystander: int) -> None:
    """Whoever chooses an application_name does not choose what a superuser runs."""
    with (
        open_idle(audited.app, 4, application_name=INJECTION) as leaked,
        closing(psycopg.connect(audited.app, application_name="other", autocommit=True)) as other,
    ):
        other.execute("SELECT 1")
        finding = audited.seen("leaked_sessions")
        (statement,) = finding.statements
        with audited.server.superuser() as person:
            person.execute("SET standard_conforming_strings = off")
            person.execute(statement.encode())
        wait_until(lambda: not audited.server.alive(leaked), what="the sessions that are meant to go")
        others = {other.info.backend_pid, bystander}
        assert audited.server.alive(others) == others


@pytest.mark.parametrize("setting", ["on", "off"])
def test_quoted_texts_are_read_as_they_were(postgres: PostgresServer, setting: str) -> None:
    """Whatever is in them, by a server that takes backslashes for escapes and by one that does not."""
    odd = [
        "it's",
        'a"b',
        r"\'; --",
        "a\nb",
        "\x1b[2J",
        "é\u202eà",
        "\U0001f600\U000e0001",
        INJECTION,
        "\\u0041",
    ]
    with postgres.superuser() as person:
        person.execute(f"SET standard_conforming_strings = {setting}".encode())
        for text in odd:
            cursor = person.execute(f"SELECT {literal(text)} AS {identifier(text)}".encode())
            assert cursor.description is not None
            assert (cursor.fetchall(), cursor.description[0].name) == ([(text,)], text)


@pytest.mark.parametrize("offset", [0, 3600, -3600])
async def test_when_addresses_were_asked_for_is_told_by_the_servers_clock(
    postgres_versions: Mapping[int, Path], offset: int
) -> None:
    """Given a server by another clock than ours, addresses looked up 30 s ago that were 20 s old by then."""
    with server_with_clock(postgres_versions, offset) as (server, _):
        now = SystemClock().now()
        before = replace(now, mono=now.mono - 30, uptime=now.uptime - 30)
        async with watching(create_watch_role(server)) as database:
            found = await settled(database, before, 20.0)
            assert await settled(database, before, inf) is None
    assert found is not None
    known = now.at + timedelta(seconds=offset - 50)
    assert known - timedelta(seconds=60) < found <= known + A_LITTLE
