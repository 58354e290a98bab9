"""The database roles that tests log in with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from tests.testbed.postgres import PostgresServer

PASSWORD = "pass word/with:odd@signs"
RESERVED_SINCE = 16


def create_watch_role(
    server: PostgresServer,
    *,
    name: str = "remediator",
    stats: bool = True,
    signal: bool = True,
    reserved: bool = False,
) -> str:
    """Create the role remediator watches with, or set the one that is there to these rights.

    Args:
        server: A running server.
        name: The role's name.
        stats: Whether it may read everybody's statistics (`pg_read_all_stats`).
        signal: Whether it may terminate other roles' sessions (`pg_signal_backend`).
        reserved: Whether it may use `reserved_connections` (16 and newer).

    Returns:
        The DSN to log in with.
    """
    rights = {"pg_read_all_stats": stats, "pg_signal_backend": signal}
    if server.version >= RESERVED_SINCE:
        rights["pg_use_reserved_connections"] = reserved
    elif reserved:
        raise ValueError(f"PostgreSQL {server.version} has no reserved connections")
    return _create_role(server, name, rights)


def create_app_role(server: PostgresServer, *, name: str = "app") -> str:
    """Create a role without any right, as applications have, unless it is there, and return its DSN."""
    return _create_role(server, name, {})


def _create_role(server: PostgresServer, name: str, rights: dict[str, bool]) -> str:
    role = sql.Identifier(name)
    with server.superuser() as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount == 0:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(PASSWORD))
            )
        for right, wanted in rights.items():
            change = sql.SQL("GRANT {} TO {}" if wanted else "REVOKE {} FROM {}")
            connection.execute(change.format(sql.Identifier(right), role))
    return server.dsn(name, PASSWORD)
