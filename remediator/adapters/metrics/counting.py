"""Events and what is in force as metrics.

Labels hold nothing that a stranger chooses: names from the config and words from fixed lists.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from prometheus_client import Gauge

from remediator.adapters.metrics.declared import Declared
from remediator.core.budgets import Standing
from remediator.core.diagnosis import Kind
from remediator.core.events import Event
from remediator.core.ledger import Result, database_scope
from remediator.core.model import Level, Mode, ProbeResult
from remediator.core.owner import folded
from remediator.core.server import Endings
from remediator.ports import Clock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# As pg_stat_activity has them, and `starting` as PostgreSQL 18 shows logins. Anything else counts as `other`.
STATES = (
    *("active", "idle", "idle in transaction", "idle in transaction (aborted)"),
    *("fastpath function call", "disabled", "starting", "other"),
)
_HOLDS = ("held", "suspended")
_CAUSES = tuple(field.name for field in dataclasses.fields(Endings))


class Metrics(Declared):
    """An observer that counts, and remembers how things stand; whoever scrapes reads `exposition`.

    Args:
        clock: For the time of the last cycle.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._budgets: dict[str, set[tuple[str, ...]]] = {}
        self._owners: dict[str, set[str]] = {}

    def emit(self, event: Event, **fields: Any) -> None:
        """Take note of an event."""
        self.events.labels(event.event_name, event.severity.value).inc()
        database = str(fields.get("database") or "")
        match event:
            case Event.CYCLE:
                self._cycle(database, fields)
            case Event.CYCLE_FAILED:
                self.failures.labels(database).inc()
            case Event.ACTION_FINISHED:
                service = fields.get("service") or ""
                self.actions.labels(database, fields["action"], service, fields["outcome"]).inc()
            case Event.PLAN_MADE:
                self._plan(database, fields)
            case Event.INCIDENT_OPENED:
                self.incidents.labels(database).inc()
            case _:
                self._switch(event, database, fields)

    def _switch(self, event: Event, database: str, fields: Mapping[str, Any]) -> None:
        """Take note of what is one way or the other."""
        match event:
            case Event.DAEMON_STARTED:
                self._started(fields)
            case Event.MAINTENANCE_BEGUN | Event.MAINTENANCE_OVER:
                self.maintenance.labels(database).set(event is Event.MAINTENANCE_BEGUN)
            case Event.STANDING_BY | Event.TAKING_OVER:
                self.standing_by.labels(database).set(event is Event.STANDING_BY)
            case Event.LEDGER_UNAVAILABLE | Event.LEDGER_AVAILABLE:
                self.ledger.set(event is Event.LEDGER_AVAILABLE)
            case Event.CONFIG_RELOADED | Event.CONFIG_REJECTED:
                self.reload.set(event is Event.CONFIG_RELOADED)
            case _:
                pass

    def standing(self, database: str, standing: Standing) -> None:
        """Take note of what is in force for a database, and what is left of its limits."""
        self.paused.set(standing.pause is not None)
        scopes = {lock.scope for lock in standing.locks}
        self.locked.labels(database).set(database_scope(database) in scopes)
        self.service_locked.clear()
        for scope in scopes:
            kind, _, name = scope.partition(":")
            if kind == "service":
                self.service_locked.labels(name).set(1)
        kept: set[tuple[str, ...]] = set()
        for budget in standing.budgets:
            if budget.allowed is None:
                continue
            action, _, service = budget.limits.partition(" ")
            kept.add(labels := (database, action, service, budget.rule))
            self.left.labels(*labels).set(budget.left)
            self.allowed.labels(*labels).set(budget.allowed)
        for gone in self._budgets.get(database, set()) - kept:  # a reload changed the limits
            self.left.remove(*gone)
            self.allowed.remove(*gone)
        self._budgets[database] = kept

    def _started(self, fields: Mapping[str, Any]) -> None:
        """Give everything its first value: an alert on what is not there is easily forgotten."""
        for mode in Mode:
            self.mode.labels(mode.value).set(mode.value == fields["mode"])
        self.build.labels(fields["version"]).set(1)
        self.reload.set(1)
        self.ledger.set(1)
        targets = [("terminate", ""), *(("restart", service) for service in fields["services"])]
        for database in fields["databases"]:
            for (action, service), result in product(targets, Result):
                self.actions.labels(database, action, service, result.value)
            self.last.labels(database).set(self._clock.now().at.timestamp())
            for gauge in (self.known, self.open, self.maintenance, self.standing_by, self.locked):
                gauge.labels(database).set(0)
            for counter in (self.cycles, self.failures, self.incidents):
                counter.labels(database)
            for hold in _HOLDS:
                self.hold.labels(database, hold).set(0)
            for cause in _CAUSES:
                self.ended.labels(database, cause)

    def _cycle(self, database: str, fields: Mapping[str, Any]) -> None:
        self.cycles.labels(database).inc()
        self.seconds.labels(database).observe(fields["seconds"])
        self.last.labels(database).set(self._clock.now().at.timestamp())
        self.known.labels(database).set(not fields["unknown"])
        for level in Level:
            self.level.labels(database, level.label).set(level.label == fields["level"])
        self.open.labels(database).set("incident" in fields)
        for hold in _HOLDS:
            self.hold.labels(database, hold).set(fields.get("hold") == hold)
        growth = fields.get("growth")
        for gauge, value in (
            (self.growth, None if growth is None else growth / 60),
            (self.exhaustion, fields.get("exhausted_in")),
            (self.churn, fields.get("churn")),
            (self.never_used, fields.get("never_used")),
            (self.resting, fields.get("idle_in_transaction")),
            (self.used, fields.get("used")),
            (self.usable, fields.get("usable")),
            (self.utilization, fields.get("utilization")),
            (self.probe_seconds, fields.get("probe_seconds")),
        ):
            _set(gauge, value, database)
        for cause, number in (fields.get("ended") or {}).items():
            self.ended.labels(database, cause).inc(number)
        for kind in Kind:
            self.diagnosis.labels(database, kind.value).set(fields.get("diagnosis") == kind.value)
        for result in ProbeResult:
            _set(self.probe, _flag(fields.get("probe"), result), database, result.value)
        states = fields.get("states")
        for state in STATES:
            _set(self.sessions, None if states is None else _counted(states, state), database, state)
        self._own(database, fields.get("owners") or {})

    def _own(self, database: str, owners: Mapping[str, int]) -> None:
        counted: Counter[str] = Counter()
        for owner, sessions in owners.items():
            counted[folded(owner)] += sessions
        for owner in self._owners.get(database, set()) - set(counted):
            self.by_owner.remove(database, owner)
        for owner, sessions in counted.items():
            self.by_owner.labels(database, owner).set(sessions)
        self._owners[database] = set(counted)

    def _plan(self, database: str, fields: Mapping[str, Any]) -> None:
        steps: Sequence[Mapping[str, Any]] = fields["steps"]
        found = {*fields["objections"], *(o for s in steps for o in (*s["objections"], *s["holds"]))}
        for objection in found:
            self.holds.labels(database, objection).inc()


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    """Set a reading, or take it away while it is not known: an old one must not pass for a new one."""
    if value is None:
        gauge.remove(*labels)
    else:
        gauge.labels(*labels).set(value)


def _flag(found: str | None, wanted: ProbeResult) -> bool | None:
    return None if found is None else found == wanted.value


def _counted(states: Mapping[str, int], state: str) -> int:
    if state == STATES[-1]:
        return sum(count for name, count in states.items() if name not in STATES)
    return states.get(state, 0)
