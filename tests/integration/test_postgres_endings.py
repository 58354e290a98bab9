"""How sessions end and begin, as real servers count it; and what is left without those counters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import sql

from remediator.core.assess import Watch, assess
from remediator.core.model import Level
from remediator.core.policy import Conditions, LevelRule, Rate
from tests.builders import make_policy
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.watching import moment, watching

if TYPE_CHECKING:
    from tests.testbed.postgres import PostgresServer

# The columns that pg_stat_database had in PostgreSQL 13: nothing about sessions but how many there are.
BEFORE_14 = (
    *("datid", "datname", "numbackends", "xact_commit", "xact_rollback", "blks_read", "blks_hit"),
    *("tup_returned", "tup_fetched", "tup_inserted", "tup_updated", "tup_deleted", "conflicts"),
    *("temp_files", "temp_bytes", "deadlocks", "checksum_failures", "checksum_last_failure"),
    *("blk_read_time", "blk_write_time", "stats_reset"),
)


def hide_what_came_with_14(server: PostgresServer) -> None:
    """Make a view that shows what the server of before showed, in a schema of its own."""
    columns = ", ".join(BEFORE_14)
    server.rows("DROP SCHEMA IF EXISTS before_14 CASCADE")
    server.rows("CREATE SCHEMA before_14")
    server.rows(
        f"CREATE VIEW before_14.pg_stat_database AS SELECT {columns} FROM pg_catalog.pg_stat_database"  # noqa: S608
    )
    server.rows("GRANT USAGE ON SCHEMA before_14 TO PUBLIC")
    server.rows("GRANT SELECT ON before_14.pg_stat_database TO PUBLIC")


async def test_without_the_servers_counters_young_sessions_are_counted(postgres: PostgresServer) -> None:
    """Given a server as before 14, then new sessions of the last minute are churn, and no ending is known."""
    dsn, app = create_watch_role(postgres), create_app_role(postgres)
    hide_what_came_with_14(postgres)
    policy = make_policy(levels={Level.ALERT: LevelRule(Conditions(churn=Rate(6, timedelta(minutes=1))))})
    async with watching(dsn) as database:
        assert (await database.sample(moment())).counters is not None
        async with database.connection.cursor() as cursor:
            await cursor.execute(sql.SQL("SET search_path TO before_14, pg_catalog"))
        first = await database.sample(moment())
        assert first.counters is None
        assert first.trouble is None
        # What made the roles may still be leaving: only that it is fewer than six says something.
        assert first.recent < 6
        found = assess(policy, Watch(), first)
        with open_idle(app, 6):
            after = await database.sample(moment())
            found = assess(policy, found.watch, after)
    assert after.recent >= 6
    assert found.level is Level.ALERT
    churn = found.sample.trend.churn()
    assert churn is not None
    assert 0.1 <= churn <= 1
    assert "new sessions per second, at least 0.1" in found.because(Level.ALERT)
    assert found.sample.trend.endings() is None
