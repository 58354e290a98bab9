"""Audits that the daemon makes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from remediator.adapters.audits import AuditFiles, Unreadable
from remediator.adapters.clock import SystemClock
from remediator.auditing.before import last_audits
from remediator.auditing.gather import audit
from remediator.config import AuditSettings, Settings
from remediator.core.audit.compare import compared
from remediator.core.audit.report import Report
from remediator.core.events import Event
from remediator.core.maintenance import Recurrence
from remediator.core.model import Mode
from remediator.cycle import Cycle
from remediator.errors import RemediatorError
from remediator.ports import Observer
from remediator.recurrence import next_start
from remediator.render.audit import audit_record
from remediator.render.verdicts import verdict

WATCH = timedelta(seconds=10)
# The wall clock may be set while we sleep.
_NAP = 30.0
_MOST_SAID = 10


@asynccontextmanager
async def auditing_beside(
    settings: Settings, cycles: Sequence[Cycle], mode: Mode, observer: Observer
) -> AsyncIterator[None]:
    """Make audits when they are due, if the settings ask for them, beside what is done meanwhile.

    Args:
        settings: The settings.
        cycles: Those that run, for the policies that a reload has put in force.
        mode: Whose budgets the audits go by.
        observer: Told of each audit.
    """
    if settings.audit is None:
        yield
        return

    def in_force() -> Settings:
        policies = {cycle.database.name: cycle.policy for cycle in cycles}
        databases = tuple(replace(d, policy=policies[d.name]) for d in settings.databases)
        return replace(settings, databases=databases)

    files = AuditFiles(settings.state_dir)
    audits = asyncio.create_task(_Audits(settings.audit, in_force, mode, observer, files).run())
    try:
        yield
    finally:
        audits.cancel()
        with suppress(asyncio.CancelledError):
            await audits
        files.stop()


@dataclass(frozen=True, slots=True)
class _Audits:
    schedule: AuditSettings
    settings: Callable[[], Settings]
    mode: Mode
    observer: Observer
    files: AuditFiles

    async def run(self) -> None:
        """Make audits for ever; what goes wrong with one is said, and the next one is tried."""
        due = self._next(await self._last())
        while True:
            now = SystemClock().now().at
            due = min(due, self._next(now))  # it is earlier once the clock was set back
            if now < due:
                await asyncio.sleep(min(_NAP, (due - now).total_seconds()))
                continue
            due = self._next(now)
            try:
                await self._make(now)
            except Exception as error:  # noqa: BLE001  a fault of an audit must not end the watch over a database
                self.observer.emit(Event.AUDIT_FAILED, because=f"{type(error).__name__}: {error}")

    async def _last(self) -> datetime:
        """When the last audit was made: one that was due since is made up for."""
        now = SystemClock().now().at
        try:
            last = await self.files.apart(self.files.last_made)
        except RemediatorError:  # said when one is to be kept
            last = None
        return now if last is None else min(last, now)

    def _next(self, after: datetime) -> datetime:
        return next_start(Recurrence(self.schedule.cron, timedelta(0), self.schedule.timezone), after)

    async def _make(self, now: datetime) -> None:
        begun = SystemClock().now().mono
        reports = await audit(self.settings(), self.mode, WATCH)
        names = [report.facts.database for report in reports]
        before, unreadable = await self.files.apart(lambda: last_audits(self.files, names))
        reports = tuple(compared(r, before.get(r.facts.database)) for r in reports)
        path = await self.files.apart(
            lambda: self.files.keep(audit_record(reports, self.mode, now), now, self.schedule.keep)
        )
        seconds = SystemClock().now().mono - begun
        self._tell(reports, unreadable, str(path), seconds)

    def _tell(
        self, reports: Sequence[Report], unreadable: Sequence[Unreadable], path: str, seconds: float
    ) -> None:
        for one in unreadable:
            self.observer.emit(Event.AUDIT_UNREADABLE, file=str(one.path), because=one.because)
        for report in reports:
            counted = report.severities
            self.observer.emit(
                Event.AUDIT_DONE,
                database=report.facts.database,
                mode=self.mode.value,
                level=verdict(report.assessment),
                problems=counted["problem"],
                warnings=counted["warning"],
                notes=counted["note"],
                changes=list(report.changes[:_MOST_SAID]),
                file=path,
                seconds=round(seconds, 3),
            )
