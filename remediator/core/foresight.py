"""What would happen if critical were confirmed now."""

from __future__ import annotations

from remediator.core import incident as incidents
from remediator.core.assess import Assessment
from remediator.core.budgets import standing
from remediator.core.decide import decide
from remediator.core.ledger import Ledger
from remediator.core.maintenance import Window
from remediator.core.model import Level
from remediator.core.plan import Survey
from remediator.core.policy import Policy
from remediator.core.situation import Situation
from remediator.core.turn import Turn


def foresee(
    database: str,
    policy: Policy,
    assessment: Assessment,
    ledger: Ledger,
    survey: Survey,
    maintenance: Window | None,
) -> Turn:
    """Plan as if critical were confirmed now, in the open incident or a new one."""
    sample = assessment.sample
    there = ledger.open_incident(database)
    incident = there or incidents.open_incident("none", database, sample, "")
    situation = Situation(
        database,
        policy,
        sample,
        incident,
        ledger,
        survey,
        assume_critical=sample.slots is not None or assessment.pending is Level.CRITICAL,
        maintenance=maintenance,
    )
    return Turn(
        assessment,
        decide(situation),
        there,
        len(ledger.open_entries(database)),
        maintenance,
        standing(database, policy, ledger, sample.moment.steady),
        survey,
    )
