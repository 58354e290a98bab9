"""How long sessions are idle before an audit speaks of a leak, and before it prints what ends them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remediator.core.audit.facts import YARDSTICK
from tests.testbed.audited import WORKER, Audited
from tests.testbed.daemon import Daemon
from tests.testbed.faketime import FakeClock, server_with_clock
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle

MINUTE = 60
# At level alert with a handful of sessions, as a server is on which slots are short.
PRESSED: dict[str, Any] = {
    "clear": {"margin": "0.5%"},
    "levels": {"monitor": {"utilization": "1%"}, "alert": {"utilization": "3%"}},
    "remediate": {"steps": [{"terminate_idle": {"older_than": "10m"}}]},
}
CULPRIT: dict[str, Any] = {
    **PRESSED,
    "remediate": {
        "steps": [{"terminate_idle": {"older_than": "10m"}}, {"restart": {"service": "culprit"}}],
    },
}


class Aged(Audited):
    """A server whose sessions are as old as its clock says, audited as everybody is audited."""

    clock: FakeClock

    def after(self, minutes: float, policy: Mapping[str, Any], **connections: Any) -> None:
        """Let so much time pass by the server's clock; say by what it is judged."""
        self.clock.set(int(minutes * MINUTE))
        self.daemon.config["services"] = [{**WORKER, "connections": connections} if connections else WORKER]
        self.daemon.write_config(policy)

    def ended(self, sessions: list[int]) -> set[int]:
        """Those of the sessions that are gone once everything is run that the audit prints to end some."""
        for finding in self.report().findings:
            self.sql(*(s for s in finding.statements if "pg_terminate_backend" in s))
        return set(sessions) - self.server.alive(sessions)


@pytest.fixture
def aged(postgres_versions: Mapping[int, Path], tmp_path: Path) -> Iterator[Aged]:
    """A server with a clock of its own."""
    with server_with_clock(postgres_versions) as (server, clock):
        daemon = Daemon(tmp_path, create_watch_role(server), config={"services": [WORKER]})
        found = Aged(server, daemon, create_app_role(server), replace(YARDSTICK, leak_count=3))
        found.clock = clock
        yield found


@contextmanager
def never_used(dsn: str) -> Iterator[list[int]]:
    """Connected, and not a single statement."""
    with ExitStack() as stack:
        sessions = [psycopg.connect(dsn, application_name="leaky") for _ in range(4)]
        for session in sessions:
            stack.callback(session.close)
        yield [session.info.backend_pid for session in sessions]


def opened(dsn: str, how: str) -> AbstractContextManager[list[int]]:
    """Four sessions that do nothing any more."""
    return never_used(dsn) if how == "unused" else open_idle(dsn, 4, in_transaction=how == "in transaction")


@pytest.mark.parametrize("how", ["idle", "in transaction", "unused"])
@pytest.mark.parametrize("policy", [PRESSED, CULPRIT])
def test_nobody_is_ended_whom_the_policy_would_leave_alone(
    aged: Aged, how: str, policy: dict[str, Any]
) -> None:
    """Nine minutes idle on a server that is short of slots they stay; two minutes later they may go."""
    with opened(aged.app, how) as sessions:
        aged.after(9, policy)
        assert aged.report().facts.level.label == "alert"
        assert aged.ended(sessions) == set()
        aged.after(11, policy)
        assert aged.ended(sessions) == set(sessions)


def test_a_pool_at_rest_is_no_leak_until_the_policy_says_so(aged: Aged) -> None:
    """However short slots are: it keeps its sessions for a while, and closes them then."""
    with opened(aged.app, "idle"):
        aged.after(9, PRESSED)
        assert not aged.found("leaked_sessions")
        aged.after(11, PRESSED)
        (found,) = aged.found("leaked_sessions")
        assert "4 sessions idle for 10m or longer" in found.evidence
        aged.after(11, PRESSED, max_age="20m")
        assert not aged.found("leaked_sessions")
        aged.after(21, PRESSED, max_age="20m")
        (found,) = aged.found("leaked_sessions")
        assert "4 sessions idle for 20m or longer" in found.evidence


def test_what_a_culprit_holds_is_told_before_it_may_be_ended(aged: Aged) -> None:
    """The policy counts sessions as leaked earlier than it would terminate them, and so does the audit."""
    with opened(aged.app, "idle") as sessions:
        aged.after(2, CULPRIT)
        (found,) = aged.found("leaked_sessions")
        assert not found.statements
        assert "4 sessions idle for 1m or longer" in found.evidence
        assert "none of them for the 10m from which on a statement would end them" in found.evidence
        with opened(aged.app, "idle") as younger:
            aged.after(11, CULPRIT)
            assert aged.ended(sessions + younger) == set(sessions)


def test_a_service_may_keep_its_sessions_for_as_long_as_it_says(aged: Aged) -> None:
    """Whatever the policy would terminate: what a person runs by hand is no less patient than either."""
    with opened(aged.app, "idle") as sessions:
        aged.after(15, PRESSED, max_age="20m")
        assert aged.ended(sessions) == set()
        aged.after(2, PRESSED, max_age="1m")
        (found,) = aged.found("idle_beyond_max_age")
        assert not found.statements, "the policy would leave them alone"
        aged.after(11, PRESSED, max_age="1m")
        assert aged.ended(sessions) == set(sessions)
