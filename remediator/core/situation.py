"""All that a decision depends on, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from remediator.core.ledger import Incident, Ledger
from remediator.core.maintenance import Window
from remediator.core.model import Sample
from remediator.core.plan import Survey
from remediator.core.policy import Policy


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on.

    Attributes:
        assume_critical: Plan as if the sample showed critical, for a look ahead.
        maintenance: The maintenance window that is in force.
    """

    database: str
    policy: Policy
    sample: Sample
    incident: Incident
    ledger: Ledger
    survey: Survey
    assume_critical: bool = False
    maintenance: Window | None = None

    @property
    def now(self) -> datetime:
        """The time of the sample on the ledger's clock."""
        return self.sample.moment.steady
