"""Events become metrics whose labels nobody outside can choose."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from remediator.adapters.metrics import Metrics
from remediator.core.budgets import Budget, Standing
from remediator.core.events import Event
from remediator.core.ledger import Lock, Pause
from remediator.core.owner import Owner, OwnerKind
from remediator.testing import FakeClock
from tests.builders import START
from tests.unit.cycle_world import World

INCIDENT_HELD, INCIDENT_SUSPENDED = Event.INCIDENT_HELD, Event.INCIDENT_SUSPENDED
CYCLE: dict[str, Any] = {
    "database": "shop",
    "mode": "enforce",
    "level": "alert",
    "unknown": False,
    "used": 60,
    "usable": 97,
    "utilization": 0.6186,
    "states": {"idle": 50, "active": 8, "made up": 2},
    "probe": "accepted",
    "probe_seconds": 0.01,
    "growth": 6.0,
    "exhausted_in": 370.0,
    "churn": 0.5,
    "never_used": 7,
    "idle_in_transaction": 2,
    "ended": {"abandoned": 4, "fatal": 1, "killed": 0},
    "diagnosis": "leak",
    "seconds": 0.02,
}


def started(*databases: str) -> Metrics:
    """Metrics of a daemon that has just started."""
    metrics = Metrics(FakeClock(START))
    names = list(databases or ["shop"])
    metrics.emit(Event.DAEMON_STARTED, mode="dry-run", version="1.2.3", databases=names, services=["api"])
    return metrics


def read(metrics: Metrics) -> dict[str, float]:
    """Every value of ours, by name and labels as they are written."""
    found = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name.removeprefix('remediator_')}{{{labels}}}"] = sample.value
    return found


def test_a_cycle_is_shown_whole() -> None:
    """Readings, the level as one of four, states from a fixed list, the time of the last cycle."""
    metrics = started()
    metrics.emit(Event.CYCLE, **CYCLE)
    found = read(metrics)
    assert found["used_slots{database=shop}"] == 60
    assert found["usable_slots{database=shop}"] == 97
    assert found["utilization_ratio{database=shop}"] == 0.6186
    assert [
        found[f"level{{database=shop,level={x}}}"] for x in ("normal", "monitor", "alert", "critical")
    ] == [*(0, 0, 1, 0)]
    assert found["sessions{database=shop,state=idle}"] == 50
    assert found["sessions{database=shop,state=active}"] == 8
    assert found["sessions{database=shop,state=other}"] == 2
    assert found["evidence_known{database=shop}"] == 1
    assert found["probe_result{database=shop,result=accepted}"] == 1
    assert found["probe_result{database=shop,result=refusing}"] == 0
    assert found["last_cycle_timestamp_seconds{database=shop}"] == START.timestamp()
    assert found["growth_slots_per_second{database=shop}"] == 0.1
    assert found["exhaustion_seconds{database=shop}"] == 370
    assert found["churn_sessions_per_second{database=shop}"] == 0.5
    assert found["never_used_sessions{database=shop}"] == 7
    assert found["idle_in_transaction_sessions{database=shop}"] == 2
    assert [found[f"diagnosis{{database=shop,kind={x}}}"] for x in ("leak", "peak", "unclear")] == [1, 0, 0]
    assert found["cycles_total{database=shop}"] == 1
    assert found["cycle_duration_seconds_count{database=shop}"] == 1
    assert found["mode_info{mode=dry-run}"] == 1
    assert found["mode_info{mode=enforce}"] == 0
    assert found["build_info{version=1.2.3}"] == 1


def test_how_sessions_ended_adds_up() -> None:
    """From check to check; one that does not know adds nothing, and takes nothing away."""
    metrics = started()
    causes = ("abandoned", "fatal", "killed")
    ended = [f"sessions_ended_total{{cause={cause},database=shop}}" for cause in causes]
    assert [read(metrics)[name] for name in ended] == [0, 0, 0]
    metrics.emit(Event.CYCLE, **CYCLE)
    metrics.emit(Event.CYCLE, **{key: value for key, value in CYCLE.items() if key != "ended"})
    metrics.emit(Event.CYCLE, **CYCLE | {"ended": {"abandoned": 0, "fatal": 1, "killed": 3}})
    assert [read(metrics)[name] for name in ended] == [4, 2, 3]


def test_what_is_no_longer_known_is_no_longer_shown() -> None:
    """A value from before must not pass for one of now."""
    metrics = started()
    metrics.emit(Event.CYCLE, **CYCLE, owners={"api": 9})
    assert read(metrics)["sessions_by_owner{database=shop,owner=api}"] == 9
    known = {"database": "shop", "level": "alert", "unknown": True, "trouble": "unreachable", "seconds": 5.0}
    metrics.emit(Event.CYCLE, **known)
    found = read(metrics)
    assert found["evidence_known{database=shop}"] == 0
    assert found["cycles_total{database=shop}"] == 2
    gone = {"used_slots", "usable_slots", "utilization_ratio", "sessions", "probe_result", "probe_seconds"}
    gone |= {"growth_slots_per_second", "exhaustion_seconds", "churn_sessions_per_second"}
    gone |= {"sessions_by_owner", "never_used_sessions", "idle_in_transaction_sessions"}
    assert not [name for name in found if name.split("{")[0] in gone]


def test_containers_that_come_and_go_make_no_series_of_their_own() -> None:
    """Given a job in a new container every minute, then there are as many series as services and kinds."""
    metrics = started()
    series = set()
    for number in range(1440):
        owners = {"api": 9, "unattributed": 1, "through the host": 2}
        owners |= {Owner(OwnerKind.CONTAINER, f"shop-job-run-{number:x}{n}").label: 1 for n in range(3)}
        owners |= {Owner(OwnerKind.ORPHAN, f"shop-job-run-{number - 1:x}").label: 4}
        owners |= {Owner(OwnerKind.POOLER, f"pooler-{number}").label: 5}
        owners |= {Owner(OwnerKind.SHARED, f"shop-job-run-{number:x}0").label: 6}
        metrics.emit(Event.CYCLE, **CYCLE, owners=owners)
        found = {name: value for name, value in read(metrics).items() if name.startswith("sessions_by_owner")}
        series |= set(found)
        assert sum(found.values()) == 30
    folded = ("other containers", "orphans", "poolers", "shared networks")
    assert series == {
        f"sessions_by_owner{{database=shop,owner={owner}}}"
        for owner in ("api", "unattributed", "through the host", *folded)
    }


def test_everything_an_alert_may_ask_for_is_there_from_the_start() -> None:
    """Before the first cycle, too: a database that is never checked must be noticed."""
    found = read(started("shop", "billing"))
    for database in ("shop", "billing"):
        assert found[f"last_cycle_timestamp_seconds{{database={database}}}"] == START.timestamp()
        assert found[f"evidence_known{{database={database}}}"] == 0
        assert found[f"cycles_total{{database={database}}}"] == 0
        assert found[f"incidents_open{{database={database}}}"] == 0
        assert found[f"locked{{database={database}}}"] == 0
        assert found[f"incident_hold{{database={database},hold=held}}"] == 0
        assert found[f"actions_total{{action=restart,database={database},outcome=refuted,service=api}}"] == 0
    assert found["ledger_available{}"] == 1
    assert found["config_last_reload_successful{}"] == 1


def test_what_is_in_force_is_shown_and_goes_when_it_ends() -> None:
    """Pause, locks, and what is left of each limit; a limit that a reload removed is gone."""
    metrics = started()
    locks = (Lock("database:shop", START, "failed"), Lock("service:api", START, "failed"))
    budgets = (
        Budget("shop", "terminate", "500 per 1h", 12, 500, None),
        Budget("shop", "restart api", "1 per 30m", 1, 1, START),
        Budget("shop", "restart api", "backoff", 1, None, START),
    )
    metrics.standing("shop", Standing(Pause(START, None), locks, budgets, START))
    found = read(metrics)
    assert found["paused{}"] == 1
    assert found["locked{database=shop}"] == 1
    assert found["service_locked{service=api}"] == 1
    assert found["budget_left{action=terminate,database=shop,limit=500 per 1h,service=}"] == 488
    assert found["budget_left{action=restart,database=shop,limit=1 per 30m,service=api}"] == 0
    assert found["budget_allowed{action=restart,database=shop,limit=1 per 30m,service=api}"] == 1
    metrics.standing("shop", Standing(None, (), budgets[:1], START))
    found = read(metrics)
    assert found["paused{}"] == 0
    assert found["locked{database=shop}"] == 0
    assert [name for name in found if name.startswith("service_locked{")] == []
    assert [name for name in found if name.startswith("budget_left")] == [
        "budget_left{action=terminate,database=shop,limit=500 per 1h,service=}"
    ]


def test_switches_follow_their_events() -> None:
    """Each goes on with one event and off with its counterpart."""
    metrics = started()
    pairs = [
        (Event.MAINTENANCE_BEGUN, Event.MAINTENANCE_OVER, "maintenance{database=shop}"),
        (Event.STANDING_BY, Event.TAKING_OVER, "standing_by{database=shop}"),
        (Event.LEDGER_AVAILABLE, Event.LEDGER_UNAVAILABLE, "ledger_available{}"),
        (Event.CONFIG_RELOADED, Event.CONFIG_REJECTED, "config_last_reload_successful{}"),
    ]
    for on, off, name in pairs:
        for event, value in ((off, 0), (on, 1), (off, 0)):
            metrics.emit(event, database="shop")
            assert read(metrics)[name] == value


def test_names_of_strangers_never_become_labels() -> None:
    """A session's user, application and address stay out, and so does what cannot be bounded."""
    metrics = started()
    hostile = 'x"} 1\nremediator_level{database="shop'
    fields = {"application": hostile, "user": hostile, "address": hostile, "because": hostile, "pid": 7}
    metrics.emit(Event.ACTION_FINISHED, database="shop", action="terminate", outcome="confirmed", **fields)
    metrics.emit(Event.ACTION_FINISHED, database="shop", action="restart", service="api", outcome="refuted")
    metrics.emit(Event.CYCLE, **{**CYCLE, "states": {hostile: 3}})
    found = read(metrics)
    assert found["actions_total{action=terminate,database=shop,outcome=confirmed,service=}"] == 1
    assert found["actions_total{action=restart,database=shop,outcome=refuted,service=api}"] == 1
    assert found["sessions{database=shop,state=other}"] == 3
    assert hostile.splitlines()[0] not in metrics.exposition().decode()


async def test_the_whole_ladder_is_counted() -> None:
    """A world in memory told to the metrics: an incident and its terminations."""
    world = World()
    metrics = started(*(cycle.database.name for cycle in world.cycles))
    (name,) = (cycle.database.name for cycle in world.cycles)
    world.fill()
    await world.told_of(Event.INCIDENT_RELIEVED)
    for event, fields in world.told.lines:
        metrics.emit(event, **fields)
    found = read(metrics)
    labels = f"action=terminate,database={name},outcome=confirmed,service="
    assert found[f"actions_total{{{labels}}}"] == len(world.outcomes())
    assert found[f"incidents_total{{database={name}}}"] == 1
    assert found[f"incidents_open{{database={name}}}"] == 1
    assert found[f"holds_total{{database={name},objection=not_needed}}"] >= 1
    assert found[f"cycles_total{{database={name}}}"] == len(world.told.of(Event.CYCLE))


@pytest.mark.parametrize(("hold", "event"), [("held", INCIDENT_HELD), ("suspended", INCIDENT_SUSPENDED)])
async def test_a_hold_that_needs_a_person_is_told_apart_from_an_order(hold: str, event: Event) -> None:
    """`held` while locked, `suspended` while paused, neither once it is over."""
    world = World()
    metrics = started()
    name = world.cycles[0].database.name
    if hold == "held":
        await world.store.lock(Lock(f"database:{name}", START, "failed"))
    else:
        await world.store.pause(Pause(START, None))
    world.fill()

    def shown() -> list[float]:
        metrics.emit(Event.CYCLE, **world.told.of(Event.CYCLE)[-1])
        return [read(metrics)[f"incident_hold{{database={name},hold={x}}}"] for x in ("held", "suspended")]

    await world.told_of(event)
    assert shown() == [hold == "held", hold == "suspended"]
    world.database.restart()
    await world.turns(3)
    assert shown() == [0, 0]
