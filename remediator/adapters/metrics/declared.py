"""The metrics: name, kind, labels, meaning."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Declared:
    """All metrics, without values, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._declare_readings()
        self._declare_motion()
        self._declare_work()
        self._declare_standing()

    def _declare_readings(self) -> None:
        self.used = self._gauge("used_slots", "Connection slots in use.", "database")
        self.usable = self._gauge("usable_slots", "Slots that an ordinary role can get.", "database")
        self.utilization = self._gauge(
            "utilization_ratio", "Used over usable slots; above 1 when reserved ones are in use.", "database"
        )
        self.level = self._gauge("level", "1 for the level it is at, else 0.", "database", "level")
        self.known = self._gauge(
            "evidence_known", "1 while what is seen is enough to tell the level, else 0.", "database"
        )
        self.sessions = self._gauge("sessions", "Client sessions by state.", "database", "state")
        self.by_owner = self._gauge(
            "sessions_by_owner", "Client sessions by the service that they belong to.", "database", "owner"
        )

    def _declare_motion(self) -> None:
        self.growth = self._gauge(
            "growth_slots_per_second", "How fast the number of used slots grows.", "database"
        )
        self.exhaustion = self._gauge(
            "exhaustion_seconds", "Until no slot is left, where growth is steady.", "database"
        )
        self.churn = self._gauge("churn_sessions_per_second", "How many sessions begin.", "database")
        self.ended = self._counter(
            "sessions_ended_total", "Sessions that did not end by their client's leave.", "database", "cause"
        )
        self.never_used = self._gauge(
            "never_used_sessions",
            "Sessions idle for a minute or longer that never ran a statement.",
            "database",
        )
        self.resting = self._gauge(
            "idle_in_transaction_sessions",
            "Sessions idle in a transaction for a minute or longer.",
            "database",
        )
        self.diagnosis = self._gauge(
            "diagnosis", "1 for what holds the slots, from alert on, else 0.", "database", "kind"
        )
        self.probe = self._gauge(
            "probe_result", "1 for what the last connection attempt met, else 0.", "database", "result"
        )
        self.probe_seconds = self._gauge(
            "probe_seconds", "How long the last connection attempt took.", "database"
        )

    def _declare_work(self) -> None:
        self.cycles = self._counter("cycles_total", "Completed checks.", "database")
        self.failures = self._counter(
            "cycle_failures_total", "Checks that ended in an unexpected error.", "database"
        )
        self.seconds = Histogram(
            "remediator_cycle_duration_seconds",
            "How long completed checks took.",
            ["database"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.last = self._gauge(
            "last_cycle_timestamp_seconds",
            "When a check was last completed; before the first one, when the daemon started.",
            "database",
        )
        self.actions = self._counter(
            "actions_total", "Finished actions by outcome.", "database", "action", "service", "outcome"
        )
        self.holds = self._counter(
            "holds_total",
            "Plans in which an objection kept something undone.",
            "database",
            "objection",
        )
        self.incidents = self._counter("incidents_total", "Incidents opened.", "database")
        self.open = self._gauge("incidents_open", "Incidents that are open.", "database")
        self.hold = self._gauge(
            "incident_hold",
            "1 while critical and nothing is done: held, a person is needed, or suspended by an order.",
            *("database", "hold"),
        )
        self.events = self._counter("events_total", "Events said in the log.", "event", "severity")

    def _declare_standing(self) -> None:
        self.locked = self._gauge("locked", "1 while a database is locked until `ack`.", "database")
        self.service_locked = self._gauge(
            "service_locked", "1 for each service that is locked until `ack`.", "service"
        )
        self.paused = self._gauge("paused", "1 while an operator's pause is in force.")
        self.maintenance = self._gauge("maintenance", "1 while a maintenance window is in force.", "database")
        self.standing_by = self._gauge(
            "standing_by", "1 while another remediator acts on the database.", "database"
        )
        self.ledger = self._gauge("ledger_available", "1 while records can be read and written, else 0.")
        self.left = self._gauge(
            "budget_left", "What is left of a limit.", "database", "action", "service", "limit"
        )
        self.allowed = self._gauge(
            "budget_allowed", "How much a limit allows.", "database", "action", "service", "limit"
        )
        self.reload = self._gauge(
            "config_last_reload_successful", "1 unless the last SIGHUP met a config with mistakes."
        )
        self.mode = self._gauge("mode_info", "Whether it acts (enforce) or only says so (dry-run).", "mode")
        self.build = self._gauge("build_info", "The version that runs.", "version")

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"remediator_{name}", meaning, labels, registry=self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"remediator_{name}", meaning, labels, registry=self.registry)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def declared(self) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
        """The metrics of our own: name, kind, labels, meaning."""
        for metric in vars(self).values():
            if isinstance(metric, MetricWrapperBase):
                name = f"{metric._name}_total" if isinstance(metric, Counter) else metric._name  # noqa: SLF001
                yield name, str(metric._type), tuple(metric._labelnames), metric._documentation  # noqa: SLF001
