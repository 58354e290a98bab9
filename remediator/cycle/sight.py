"""Looking at a database, and looking again at what was seen too long ago to be acted on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from remediator.core.assess import Assessment, Watch, assess, critical_evidence
from remediator.core.events import Event
from remediator.core.model import Evidence, Level, Moment, Sample
from remediator.core.policy import Policy
from remediator.cycle.attributing import Attributor
from remediator.cycle.lineage import Lineage
from remediator.cycle.telling import Teller
from remediator.cycle.timekeeping import Timekeeper
from remediator.ports import Clock, Database

# Neighbours may be slow, the disk too, and the machine may sleep at any line of ours.
_FRESH_SECONDS = 10.0


@dataclass(slots=True)
class Sight:
    """Samples and judges, and remembers how long what it saw has lasted.

    Attributes:
        watch: What is carried from one assessment to the next.
        renewed: The later look, if the last one had grown old and was repeated.
    """

    database: Database
    attributor: Attributor
    lineage: Lineage
    teller: Teller
    clock: Clock
    timekeeper: Timekeeper
    watch: Watch = field(default_factory=Watch)
    renewed: Assessment | None = None

    async def sample(self, moment: Moment) -> Sample:
        """Take a sample, with whose its sessions are."""
        starts = await self.attributor.renew()
        return self.attributor.attribute(await self.database.sample(moment, starts))

    async def look(self, policy: Policy, moment: Moment) -> Assessment:
        """Take a sample and judge it."""
        sample, watch = self.lineage.note(await self.sample(moment), self.watch)
        assessment = assess(policy, watch, sample)
        self.watch, self.renewed = assessment.watch, None
        self.teller.assessment(assessment, policy.patience)
        return assessment

    async def renew(self, policy: Policy, assessment: Assessment) -> Assessment:
        """Look again if an assessment is not fresh any more; else it is returned as it is."""
        if not self.aged(assessment.sample.moment):
            return assessment
        self.renewed = await self.look(policy, await self.timekeeper.stamp(self.clock.now()))
        return self.renewed

    def aged(self, moment: Moment) -> bool:
        """Tell whether what was read at a moment is too old to be acted on, and if so, say it."""
        seconds = self.clock.now().since(moment)
        if seconds <= _FRESH_SECONDS:
            return False
        self.teller.emit(Event.READING_AGED, seconds=round(seconds, 1))
        return True


def confirmed(policy: Policy, assessment: Assessment, *, relieved: bool) -> bool:
    """Tell whether an assessment by itself shows critical, and for long enough."""
    evidence = critical_evidence(policy, assessment.sample, relieved=relieved)
    return evidence is Evidence.BREACH and lasted(policy, assessment)


def lasted(policy: Policy, assessment: Assessment) -> bool:
    """Tell whether critical has been seen for long enough: one sample is no proof."""
    seconds = assessment.watch.timers[Level.CRITICAL].breach
    return timedelta(seconds=seconds) >= policy.levels[Level.CRITICAL].hold_for
