"""Asking each server, and whoever runs the services, what an audit needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isinf

from remediator.adapters.clock import SystemClock
from remediator.adapters.compose import ComposeRuntime
from remediator.adapters.postgres import PostgresDatabase, read_catalogue
from remediator.adapters.recording import SqliteRecording
from remediator.config import ServiceSettings, Settings
from remediator.core.audit.facts import YARDSTICK, Busiest, Churn, Facts, ServiceFacts, Yardstick, cutoffs
from remediator.core.audit.report import Report, report_on
from remediator.core.audit.sessions import tally
from remediator.core.model import Mode, Moment, Sample
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.turn import Turn
from remediator.cycle import Cycle
from remediator.errors import LedgerError, RecordingError, RemediatorError, UnavailableError
from remediator.looking import looking
from remediator.ports import Runtime

_BACK = timedelta(days=7)
_POINTS = 200


async def audit(
    settings: Settings, mode: Mode, watch: timedelta, yardstick: Yardstick = YARDSTICK
) -> tuple[Report, ...]:
    """Audit everything that the settings name; nothing is changed.

    Args:
        settings: The settings.
        mode: Whose budgets, locks and pauses the plan goes by.
        watch: For how long to watch sessions come and go; zero for not at all.
        yardstick: What counts as much, or as long.
    """
    async with looking(settings, mode) as (world, cycles, _):
        services = tuple(
            await asyncio.gather(*(_service(s, world.runtimes[s.service.name]) for s in settings.services))
        )
        recording = SqliteRecording(settings.state_dir, mode)
        auditors = (
            _Auditor(world.databases[cycle.database.name], cycle, services, yardstick, recording)
            for cycle in cycles
        )
        try:
            return tuple(await asyncio.gather(*(auditor.run(watch) for auditor in auditors)))
        finally:
            await recording.close()


async def _service(settings: ServiceSettings, runtime: Runtime) -> ServiceFacts:
    facts = ServiceFacts(settings.service.name, settings.connections, None)
    try:
        facts = replace(facts, replicas=len(await runtime.replicas()))
        if isinstance(runtime, ComposeRuntime):
            facts = replace(facts, graces=await runtime.stop_graces())
    except RemediatorError:  # `doctor` says why; an audit of the database goes on without it
        pass
    return facts


async def settled(database: PostgresDatabase, moment: Moment, age: float) -> datetime | None:
    """Tell what time it was on a server when it was asked who has which address, or a little before.

    Args:
        database: The server.
        moment: Before what was known of addresses was looked up.
        age: How old that was then, in seconds; infinite when nothing was ever known.

    Raises:
        UnavailableError: The server does not answer.
    """
    if isinf(age):
        return None
    clock = SystemClock()
    now = clock.now().at
    theirs = now + await database.clock_skew(now)
    return theirs - timedelta(seconds=clock.now().since(moment) + age)


@dataclass(frozen=True, slots=True)
class _Auditor:
    """Audits one database."""

    database: PostgresDatabase
    cycle: Cycle
    services: Sequence[ServiceFacts]
    yardstick: Yardstick
    recording: SqliteRecording

    async def run(self, watch: timedelta) -> Report:
        clock, services = SystemClock(), tuple(self.services)
        policy = self.cycle.policy
        self.database.count_by(cutoffs(policy, services, self.yardstick))
        now = clock.now()
        try:
            turn = await self.cycle.look_ahead(now)
        except LedgerError:  # all but the plan can be told without it
            turn = Turn(await self.cycle.look(now))
        directory = self.cycle.attribution.directory
        sample = turn.assessment.sample
        catalogue, churn, since = None, None, None
        if sample.slots is not None and sample.server is not None:
            try:
                since = await settled(self.database, sample.moment, directory.age)
                catalogue = await read_catalogue(self.database, sample.server.version, self.yardstick.kept)
                churn = await self._churn(sample, watch)
            except UnavailableError as error:
                sample = replace(sample, trouble=Trouble(TroubleKind.FAILED, str(error)))
        busiest = await self._busiest(now.at)
        name = self.database.name
        facts = Facts(name, policy, sample, catalogue, services, churn, busiest, self.yardstick)
        own = str(self.database.connection.params.get("application_name", ""))
        facts = replace(facts, starts=directory.starts, settled=since, own=own)
        return await asyncio.to_thread(report_on, facts, turn)  # thousands of roles take their time

    async def _busiest(self, now: datetime) -> Busiest | None:
        """The reading with the most used slots, of those that a daemon has recorded."""
        try:
            readings = await self.recording.readings(self.database.name, now - _BACK, now, _POINTS)
        except RecordingError:  # nothing depends on it
            return None
        found = [(r.sample, r.sample.slots) for r in readings if r.sample.slots is not None]
        if not found:
            return None
        sample, slots = max(found, key=lambda one: one[1].utilization)
        owners = tally(sample, lambda group: group.owner.label)
        return Busiest(sample.moment.at, slots.used, slots.usable, _BACK.days, owners)

    async def _churn(self, before: Sample, watch: timedelta) -> Churn | None:
        """Watch sessions begin; the server counts them from PostgreSQL 14 on."""
        if not watch or before.counters is None:
            return None
        await asyncio.sleep(watch.total_seconds())
        after = await self.database.sample(SystemClock().now())
        if after.counters is None:
            return None
        seconds = after.moment.mono - before.moment.mono
        ours = 1 if self.database.probe_every else 0  # the probe, right after the first look
        return Churn(max(0, after.counters.begun - before.counters.begun - ours), seconds)
