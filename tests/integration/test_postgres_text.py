"""What a server says is read whatever its encoding and time zone, and what we say holds no secret."""

from __future__ import annotations

import traceback
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import pq

from remediator.adapters.postgres import open_database
from remediator.core.trouble import TroubleKind
from remediator.errors import ConfigError, UnavailableError
from remediator.ports import Receipt
from tests.testbed.roles import PASSWORD, create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.watching import moment, sessions_of, watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.testbed.postgres import PostgresServer

ENCODINGS = pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII", "EUC_JP"])


@pytest.fixture(scope="module")
def foreign_session(pg16: PostgresServer) -> Iterator[int]:
    """A session whose role has a name that is no UTF-8, for it was made in a LATIN1 database."""
    pg16.rows("CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1'")
    with pg16.superuser("old") as connection:
        connection.execute("SET client_encoding = 'UTF8'")
        connection.execute('CREATE ROLE "rené" LOGIN')
    keywords = f"host={pg16.directory} port={pg16.port} dbname=old application_name=foreign user="
    client = pq.PGconn.connect(keywords.encode() + "rené".encode("latin1"))
    assert client.status == pq.ConnStatus.OK, client.get_error_message()
    yield client.backend_pid
    client.finish()


@ENCODINGS
async def test_names_in_another_encoding(pg16: PostgresServer, foreign_session: int, encoding: str) -> None:
    """A name that cannot be read does not make the server unreadable, nor its session immortal."""
    name = f"in_{encoding.lower()}"
    with pg16.superuser() as connection:
        connection.execute(
            psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}").format(
                psycopg.sql.Identifier(name), psycopg.sql.Literal(encoding)
            )
        )
    dsn = create_watch_role(pg16).replace("/postgres", f"/{name}")
    with open_idle(create_app_role(pg16), 1, application_name="plain") as pids:
        async with watching(dsn) as database:
            sample = await database.sample(moment())
            if encoding != "EUC_JP":
                assert sample.trouble is None
                assert {group.application for group in sample.groups} >= {"plain", "foreign"}
                [plain, foreign] = await sessions_of(database, [*pids, foreign_session])
                assert (plain.user, plain.database, plain.application) == ("app", "postgres", "plain")
                assert foreign.user is not None
                assert foreign.user.startswith("ren")
                assert await database.terminate([plain], timedelta(0)) == (Receipt.SENT,)
            else:  # the server itself refuses to convert the name; that is trouble, not an exception
                assert sample.trouble is not None
                assert sample.trouble.kind is TroubleKind.FAILED
                with pytest.raises(UnavailableError):
                    await database.sessions()


async def test_times_come_in_utc(pg16: PostgresServer) -> None:
    """A zone with summer time has an hour a year in which equal moments compare unequal."""
    dsn = create_watch_role(pg16)
    pg16.rows("ALTER ROLE remediator SET TimeZone = 'Europe/Berlin'")
    try:
        async with watching(dsn) as database:
            [session, *_] = await database.sessions()
            assert session.id.backend_start.tzinfo is not None
            assert session.id.backend_start == session.id.backend_start.astimezone(UTC)
            assert session.id.backend_start.utcoffset() == timedelta(0)
    finally:
        pg16.rows("ALTER ROLE remediator RESET TimeZone")


async def test_the_password_is_nowhere_to_be_seen(pg16: PostgresServer) -> None:
    """Neither in what we are, nor in what we say when the server refuses it."""
    create_watch_role(pg16)
    dsn = pg16.dsn("remediator", None)
    for password in (PASSWORD, "canary-7f3a"):
        database = open_database(
            "watched",
            dsn,
            password=password,
            keywords={},
            connect_timeout=timedelta(seconds=10),
            query_timeout=timedelta(seconds=10),
            cutoffs=(),
            probe_every=timedelta(minutes=1),
        )
        said = [repr(database), repr(database.connection)]
        sample = await database.sample(moment())
        assert (sample.trouble is None) is (password == PASSWORD)
        said += [repr(sample), repr(database), repr(database.connection), repr(await database.probe())]
        if sample.trouble is not None:
            with pytest.raises(UnavailableError) as caught:
                await database.sessions()
            said += [repr(caught.value), *traceback.format_exception(caught.value)]
        await database.close()
        assert not [text for text in said if password in text]


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://user:canary-7f3a@[::1/db",
        "host=h password='canary-7f3a",
        "host=h passwort=canary-7f3a",
    ],
)
def test_a_malformed_dsn_is_not_repeated(dsn: str) -> None:
    """The error names the database, not what is wrong with its secret."""
    with pytest.raises(ConfigError) as caught:
        open_database(
            "watched",
            dsn,
            password=None,
            keywords={},
            connect_timeout=timedelta(seconds=1),
            query_timeout=timedelta(seconds=1),
            cutoffs=(),
            probe_every=timedelta(0),
        )
    assert "watched" in str(caught.value)
    assert "canary-7f3a" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("keyword", ["sslmode", "port", "no_such_keyword"])
async def test_a_setting_libpq_does_not_take_is_trouble(keyword: str) -> None:
    """It is said in a sample, or beforehand, and never with the password."""
    said: list[str] = []
    try:
        database = open_database(
            "watched",
            "host=127.0.0.1",
            password="canary-7f3a",
            keywords={keyword: "nonsense"},
            connect_timeout=timedelta(seconds=5),
            query_timeout=timedelta(seconds=5),
            cutoffs=(),
            probe_every=timedelta(0),
        )
    except ConfigError as error:
        said.append(str(error))
    else:
        sample = await database.sample(moment())
        assert sample.trouble is not None
        said.append(repr(sample))
    assert "canary-7f3a" not in said[0]
