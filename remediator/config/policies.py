"""Schema of policies: levels, the ladder of steps, what is spared, limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from remediator.config.levels import CheckEvery, Clear, Levels
from remediator.config.maintenance import Maintenance
from remediator.config.scalars import (
    PER_STEP,
    RATE,
    OneOrMore,
    OrNone,
    choice,
    duration,
    whole,
)
from remediator.config.section import (
    MINUTE,
    SECOND,
    Count,
    Duration,
    Name,
    Pause,
    Ratio,
    Section,
    Text,
    WhenWord,
)
from remediator.core.policy import Rate
from remediator.ports import KEPT

SPARED_APPLICATIONS = (
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_basebackup",
    "pgbackrest*",
    "barman*",
    "wal-g*",
)
"""Backups look idle between two reads; these are spared whatever the file says."""

CULPRIT = "culprit"
"""Instead of a service's name: the one that is shown to hold the leaked slots."""

Rates = tuple[Annotated[Rate, RATE], ...]

_WHEN = "Whether the step waits for the database to be critical still: `still_critical` or `always`."


class Until(Section):
    """When there is nothing more to do."""

    utilization: Ratio = 0.5
    """At or below this share of the usable slots."""


class TerminateIdle(Section):
    """Terminate idle sessions, those idle for longest first."""

    older_than: Duration = 10 * MINUTE
    """How long a session must have been idle."""
    when: WhenWord = Field(default="still_critical", description=_WHEN)


class Restart(Section):
    """Restart the replicas of one service, one at a time."""

    service: Name
    """The name of one of `services`, or `culprit`: the one that is shown to hold the leaked slots."""
    when: WhenWord = Field(default="still_critical", description=_WHEN)
    among: tuple[Name, ...] = ()
    """With `culprit`: the services that may be it. Without it, all of `services`."""
    share: Ratio = 0.5
    """With `culprit`: the share of all leaked sessions that it must hold, and no other."""
    older_than: Duration = MINUTE
    """With `culprit`: how long a session must have been idle to count as leaked, here, in diagnoses and in
    audits. Those terminated in the same incident count, too; those that are spared do not."""
    least: Ratio = 0.1
    """With `culprit`: the share of the usable slots that its leaked sessions must take: in a peak without a
    leak a handful of idle sessions proves nothing."""
    otherwise: Annotated[Literal["hold", "in_order"], choice("hold", "in_order")] = "hold"
    """With `culprit`: what is done when none is clearly it: nothing, or the restart of all, in order, unless
    the leaked sessions are shown to be others'."""


class Step(Section):
    """One rung of the ladder: exactly one of its keys."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["terminate_idle"]}, {"required": ["restart"]}]}
    )

    terminate_idle: TerminateIdle | None = None
    """Terminate idle sessions."""
    restart: Restart | None = None
    """Restart a service."""


class Remediate(Section):
    """What is done once critical is confirmed, in this order."""

    until: Until = Until()
    """How far terminating goes. Restarts stop as soon as it is no longer critical, `clear.margin` below the
    threshold, whether this is reached or not."""
    settle: Pause = 15 * SECOND
    """How long to wait after a step before looking again."""
    retry: Duration = 5 * MINUTE
    """How long to wait after a round without relief before the next one."""
    steps: tuple[Step, ...] | None = None
    """The ladder. Without it: sessions idle for 10m are terminated, then each service is restarted, in
    the order of `services`."""


class Spare(Section):
    """Sessions left alone, on top of those that always are; shell patterns such as `etl_*`."""

    users: tuple[Text, ...] = ()
    """Roles whose sessions are spared."""
    applications: tuple[Text, ...] = ()
    """Values of application_name whose sessions are spared, besides those of the usual backup programs."""


class TerminateLimits(Section):
    """How many sessions may be terminated. All limits hold."""

    per_step: Annotated[tuple[Annotated[int | float, PER_STEP], ...], OneOrMore()] = (0.5, 500)
    """At most this many, or this share of the used slots, in one step; of several the lowest counts."""
    abort_above: Annotated[tuple[Annotated[int | float, PER_STEP], ...], OneOrMore(least=0)] = (0.8, 2000)
    """A step that wants more sessions gone than this, or than this share of the used slots, is taken for a
    mistake: nothing is done and a person is told. `[]` switches it off."""
    per_hour: Count = 500
    """At most this many in any hour."""
    rates: Annotated[Rates, OneOrMore(least=0)] = ()
    """Further limits over other lengths of time, such as `2000 per 1d`."""


class Backoff(Section):
    """The wait between two restarts of a service, which doubles with each restart."""

    base: Duration = 30 * MINUTE
    """After the first restart."""
    cap: Annotated[timedelta, duration(most=KEPT)] = timedelta(hours=8)
    """At most. Restarts older than this, and than every rate of `per_service`, are forgotten."""


class RestartLimits(Section):
    """How often services may be restarted. All limits hold."""

    per_service: Annotated[Rates, OneOrMore()] = (Rate(1, timedelta(minutes=30)), Rate(3, timedelta(days=1)))
    """How often one and the same service, whichever database it is for. `backoff` holds besides: a service is
    left alone for as long as either of the two asks."""
    per_step: Annotated[tuple[Annotated[int | float, PER_STEP], ...], OneOrMore()] = (0.75, 10)
    """At most this many of a service's replicas, or this share of them (rounded up), in one step; of several
    the lowest counts."""
    backoff: Annotated[Backoff | None, OrNone()] = Backoff()
    """How long a service is left alone after repeated restarts, even where `per_service` would allow another
    one; `none` switches it off."""
    per_day: Count = 3
    """How often altogether in any 24 hours, for one database."""
    rates: Annotated[Rates, OneOrMore(least=0)] = ()
    """Further limits altogether, over other lengths of time, such as `2 per 1h`."""
    min_uptime: Pause = MINUTE
    """How long a container must have been up, and past `starting` if it has a health check; `0s` switches
    this off. A restart right after a deploy would fight it."""


class Limits(Section):
    """How much may be done at most, come what may."""

    terminate: TerminateLimits = TerminateLimits()
    """How many sessions may be terminated."""
    restart: RestartLimits = RestartLimits()
    """How often services may be restarted."""
    failed_rounds: Annotated[int, whole(1)] = 3
    """Rounds without relief in one incident before nothing more is done until `remediator ack`."""


class Policy(Section):
    """Everything that decides for a database."""

    name: Name
    """What databases call it."""
    check_every: CheckEvery = CheckEvery()
    """How often to look, by level."""
    levels: Levels = Levels()
    """When it is how serious."""
    clear: Clear = Clear()
    """When a level is left again."""
    remediate: Remediate = Remediate()
    """What is done once critical is confirmed."""
    spare: Spare = Spare()
    """Sessions left alone."""
    limits: Limits = Limits()
    """How much may be done at most."""
    maintenance: tuple[Maintenance, ...] = ()
    """When nothing is done, besides the windows for all databases."""
