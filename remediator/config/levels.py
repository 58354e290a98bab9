"""Schema of levels: how often to look, when the state is how serious, and when a level is left again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from remediator.config.scalars import BOOLEAN, CHURN, LEAST, OneKey, OrNone
from remediator.config.section import (
    MINUTE,
    SECOND,
    Duration,
    DurationOrNone,
    Pause,
    Ratio,
    RatioOrNone,
    Section,
)
from remediator.core.policy import Rate

ChurnOrNone = Annotated[Annotated[Rate, CHURN] | None, OrNone()]
Least = Annotated[int | float, LEAST]

_UTILIZATION = "Holds above this share of the slots that an ordinary role can get; `none` switches it off."
_IDLE = "Holds when this many sessions are idle for this long; `none` switches it off."
_REFUSING = "Holds when a fresh connection is refused for want of slots."
_EXHAUSTED = "Holds when no slot would be free within this time, at the growth of the last five minutes."
_CHURN = (
    "Holds when so many new sessions begin; over a minute, and by the server's own counters. Before "
    "PostgreSQL 14 there are none: then those of the last minute that are there still, which are fewer."
)
_LATENCY = "Holds when connecting takes this long."
_NEVER_USED = (
    "Holds when this many sessions have never run a statement: a pool opens more than is needed, or a fork "
    "inherited them. A setting or a test sent when the session is opened is a statement, an empty one too."
)
_IN_TRANSACTION = (
    "Holds when this many sessions are idle in a transaction, an aborted one too. They are never terminated."
)
_FOR = "How long the level's conditions must hold before the level is entered."
_OLDER_THAN = "How long a session must have been idle to count."
_COUNT = "How many such sessions it takes, or which share of the slots that an ordinary role can get."


class CheckEvery(Section):
    """How often a database is looked at, by its level."""

    normal: Duration = 30 * SECOND
    """While all is well."""
    monitor: Duration = 15 * SECOND
    """At level monitor."""
    alert: Duration = 5 * SECOND
    """At level alert."""
    critical: Duration = 2 * SECOND
    """At level critical."""


class Idle(Section):
    """So many sessions idle for so long."""

    older_than: Duration = Field(default=10 * MINUTE, description=_OLDER_THAN)
    count: Least = Field(description=_COUNT)


class MonitorIdle(Idle):
    """So many sessions idle for so long."""

    count: Least = Field(default=1, description=_COUNT)


class AlertIdle(Idle):
    """So many sessions idle for so long."""

    count: Least = Field(default=10, description=_COUNT)


class Resting(Idle):
    """So many sessions idle in one particular way for so long, or only how many."""

    older_than: Duration = Field(default=MINUTE, description=_OLDER_THAN)


class MonitorResting(Resting):
    """So many sessions idle in one particular way for so long, or only how many."""

    count: Least = Field(default=0.1, description=_COUNT)


RestingOrNone = Annotated[Annotated[Resting, OneKey("count")] | None, OrNone()]


class Monitor(Section):
    """Worth a closer look; holds when any of its conditions holds."""

    utilization: RatioOrNone = Field(default=0.2, description=_UTILIZATION)
    idle: Annotated[MonitorIdle | None, OrNone()] = Field(default=MonitorIdle(), description=_IDLE)
    refusing_connections: Annotated[bool, BOOLEAN] = Field(default=False, description=_REFUSING)
    exhausted_within: DurationOrNone = Field(default=None, description=_EXHAUSTED)
    churn: ChurnOrNone = Field(default=Rate(50, SECOND), description=_CHURN)
    connect_latency: DurationOrNone = Field(default=2 * SECOND, description=_LATENCY)
    never_used: RestingOrNone = Field(default=None, description=_NEVER_USED)
    idle_in_transaction: Annotated[Annotated[MonitorResting, OneKey("count")] | None, OrNone()] = Field(
        default=MonitorResting(), description=_IN_TRANSACTION
    )
    for_: Pause = Field(default=timedelta(0), alias="for", description=_FOR)


class Alert(Section):
    """Getting serious; holds when any of its conditions holds."""

    utilization: RatioOrNone = Field(default=0.5, description=_UTILIZATION)
    idle: Annotated[AlertIdle | None, OrNone()] = Field(default=AlertIdle(), description=_IDLE)
    refusing_connections: Annotated[bool, BOOLEAN] = Field(default=False, description=_REFUSING)
    exhausted_within: DurationOrNone = Field(default=10 * MINUTE, description=_EXHAUSTED)
    churn: ChurnOrNone = Field(default=None, description=_CHURN)
    connect_latency: DurationOrNone = Field(default=None, description=_LATENCY)
    never_used: RestingOrNone = Field(default=None, description=_NEVER_USED)
    idle_in_transaction: RestingOrNone = Field(default=None, description=_IN_TRANSACTION)
    for_: Pause = Field(default=30 * SECOND, alias="for", description=_FOR)


class Critical(Section):
    """Time to act; holds when any of its conditions holds."""

    utilization: RatioOrNone = Field(default=0.9, description=_UTILIZATION)
    idle: Annotated[Idle | None, OrNone()] = Field(default=None, description=_IDLE)
    refusing_connections: Annotated[bool, BOOLEAN] = Field(default=True, description=_REFUSING)
    exhausted_within: DurationOrNone = Field(default=None, description=_EXHAUSTED)
    churn: ChurnOrNone = Field(default=None, description=_CHURN)
    connect_latency: DurationOrNone = Field(default=None, description=_LATENCY)
    never_used: RestingOrNone = Field(default=None, description=_NEVER_USED)
    idle_in_transaction: RestingOrNone = Field(default=None, description=_IN_TRANSACTION)
    for_: Pause = Field(default=5 * SECOND, alias="for", description=_FOR)


class Levels(Section):
    """When the state of the connection slots is how serious."""

    monitor: Monitor = Monitor()
    """Worth a closer look."""
    alert: Alert = Alert()
    """Getting serious."""
    critical: Critical = Critical()
    """Time to act."""


class Clear(Section):
    """When a level is left again."""

    margin: Ratio = 0.05
    """How far below the level's threshold utilization must be."""
    for_: Pause = Field(default=5 * MINUTE, alias="for", description="For how long it must stay there.")
