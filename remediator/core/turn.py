"""What one cycle came to, and what is in force for the next."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.ledger import Incident, Lock, Pause
from remediator.core.maintenance import Window
from remediator.core.plan import Plan, Survey


@dataclass(frozen=True, slots=True)
class Orders:
    """What people ordered, or must lift: a pause, and locks."""

    pause: Pause | None = None
    locks: tuple[Lock, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one cycle came to.

    Attributes:
        plan: None while nothing had to be planned.
        maintenance: The maintenance window in force.
        incident: The open incident, None without one.
        standing: What is left of each limit; of a look ahead only.
        in_flight: Actions whose outcome is not known yet.
        survey: What the plan rests on beyond the sample, None when nothing had to be read for it.
        renewed: The later look that the plan rests on, when the first one had grown old.
        orders: What was in force, None when the ledger had not to be asked.
    """

    assessment: Assessment
    plan: Plan | None = None
    incident: Incident | None = None
    in_flight: int = 0
    maintenance: Window | None = None
    standing: Standing | None = None
    survey: Survey | None = None
    renewed: Assessment | None = None
    orders: Orders | None = None
