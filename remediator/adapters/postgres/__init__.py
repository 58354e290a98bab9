"""PostgreSQL: the only package that imports psycopg."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from psycopg import ProgrammingError, conninfo

from remediator.adapters.postgres.catalogue import read_catalogue
from remediator.adapters.postgres.claim import Claim
from remediator.adapters.postgres.connection import Connection
from remediator.adapters.postgres.database import PostgresDatabase
from remediator.adapters.postgres.rows import Privileges
from remediator.errors import ConfigError

__all__ = ["PostgresDatabase", "Privileges", "open_database", "read_catalogue"]


def open_database(
    name: str,
    dsn: str,
    *,
    password: str | None,
    keywords: Mapping[str, str],
    connect_timeout: timedelta,
    query_timeout: timedelta,
    cutoffs: tuple[timedelta, ...],
    probe_every: timedelta,
    claims: bool = False,
    password_from: str = "",
) -> PostgresDatabase:
    """Make a database; nothing is connected before it is first used.

    Args:
        name: The database's name in the config.
        dsn: A libpq URL or keyword string without the password; empty for libpq's environment.
        password: The password, None when libpq shall find one.
        keywords: libpq keywords on top of the dsn, which they override.
        connect_timeout: For a whole connection attempt.
        query_timeout: For one exchange, kept on this side.
        cutoffs: Idle ages to count sessions by.
        probe_every: Pause between connect probes; zero for none.
        claims: Whether to take the lock that lets one remediator act on the server.
        password_from: Where the password is from, for whoever has to mend a wrong one.

    Raises:
        ConfigError: libpq does not understand the dsn. The message leaves the dsn out.
    """
    try:
        params = {key: str(value) for key, value in conninfo.conninfo_to_dict(dsn).items()}
    except ProgrammingError:
        raise ConfigError((f"database {name}: dsn: libpq does not understand it",)) from None
    params |= keywords
    if password is not None:
        params["password"] = password
    timeouts = connect_timeout.total_seconds(), query_timeout.total_seconds()
    connection = Connection(params, *timeouts, password_from)
    return PostgresDatabase(
        name=name,
        connection=connection,
        cutoffs=tuple(sorted(cutoff.total_seconds() for cutoff in cutoffs)),
        probe_every=probe_every.total_seconds(),
        claim=Claim(connection, claims),
    )
