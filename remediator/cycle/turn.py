"""What one cycle came to, and what is in force for the next."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing, standing
from remediator.core.clock import stamped
from remediator.core.ledger import Incident
from remediator.core.maintenance import Window
from remediator.core.model import Moment
from remediator.core.plan import Plan
from remediator.core.policy import Policy
from remediator.ports import LedgerStore


@dataclass(frozen=True, slots=True)
class Turn:
    """What one cycle came to.

    Attributes:
        plan: None while nothing had to be planned.
        maintenance: The maintenance window in force.
        incident: The open incident, None without one.
        standing: What is left of each limit; of a look ahead only.
        in_flight: Actions whose outcome is not known yet.
    """

    assessment: Assessment
    plan: Plan | None = None
    incident: Incident | None = None
    in_flight: int = 0
    maintenance: Window | None = None
    standing: Standing | None = None


async def read_standing(store: LedgerStore, database: str, policy: Policy, moment: Moment) -> Standing:
    """Read what is in force for a database, and what is left of each of its limits.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    now = stamped(moment, await store.clock()).steady
    return standing(database, policy, await store.load(now - policy.limits.horizon), now)
