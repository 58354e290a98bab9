"""A server with a configuration, audited with a yardstick that a test need not wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from remediator import auditing
from remediator.config import load
from remediator.core.audit.facts import Yardstick
from remediator.core.audit.finding import Finding
from remediator.core.audit.report import Report
from remediator.core.model import Mode
from tests.testbed.daemon import Daemon
from tests.testbed.postgres import PostgresServer
from tests.testbed.waiting import wait_until

_A_MOMENT = timedelta(milliseconds=300)
_QUICK = Yardstick(
    kept=_A_MOMENT,
    in_transaction=_A_MOMENT,
    unused=_A_MOMENT,
    keeps=_A_MOMENT,
    tool_idle=_A_MOMENT,
    superusers=3,
    leak_count=3,
)
WORKER: dict[str, Any] = {
    "name": "worker",
    "command": {"restart": ["true"], "inspect": ["echo", "1"]},
    "sessions": {"applications": ["leaky"]},
}


@dataclass
class Audited:
    """A server with a configuration, audited again and again.

    Attributes:
        yardstick: What counts as long; by default what a test need not wait for.
    """

    server: PostgresServer
    daemon: Daemon
    app: str
    yardstick: Yardstick = _QUICK

    def configure(self, **connections: Any) -> None:
        """Say what the service's connections are meant to be."""
        self.daemon.config["services"] = [{**WORKER, "connections": connections}]
        self.daemon.write_config()

    def sql(self, *statements: str) -> None:
        """Run statements as a superuser, in a session of their own, one after the other."""
        with self.server.superuser() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def report(self, watch: timedelta = timedelta(0)) -> Report:
        """What an audit says now."""
        settings = load(self.daemon.config_file, {})
        (report,) = asyncio.run(auditing.audit(settings, Mode.DRY_RUN, watch, self.yardstick))
        return report

    def found(self, rule: str, watch: timedelta = timedelta(0)) -> list[Finding]:
        """The findings of one rule."""
        return [finding for finding in self.report(watch).findings if finding.id == rule]

    def seen(self, rule: str) -> Finding:
        """The one finding of a rule, as soon as it is there."""
        deadline = time.monotonic() + 30
        while not (found := self.found(rule)):
            assert time.monotonic() < deadline, f"{rule} is not found"
            time.sleep(0.1)
        return found[0]

    def mended(self, finding: Finding) -> None:
        """Run the finding's own statements and see it gone."""
        assert finding.statements
        self.sql(*finding.statements)
        self.gone(finding.id)

    def swept(self, finding: Finding, ends: Sequence[int], lives: Sequence[int]) -> None:
        """Run the finding's own statements and see which sessions are gone."""
        assert finding.statements
        self.sql(*finding.statements)
        wait_until(lambda: not self.server.alive(ends), what="the sessions that are meant to go")
        assert self.server.alive(lives) == set(lives)

    def gone(self, rule: str) -> None:
        """See that a rule holds no more; settings and sessions take a moment."""
        deadline = time.monotonic() + 30
        while found := self.found(rule):
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
