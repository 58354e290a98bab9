"""The connection budget: what services are meant to have, what is there, and what there is room for."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.audit.facts import Facts, ServiceFacts
from remediator.core.audit.sessions import of_service
from remediator.core.model import IDLE


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One service's part of the budget.

    Attributes:
        replicas: How many were reckoned with.
        counted: They were seen; else one was assumed.
        normal: Sessions it is meant to have on a usual day; None when nobody said.
        peak: The most it is meant to have; None like `normal`.
        there: Sessions it has.
        idle: Those of them that are idle.
    """

    service: str
    replicas: int
    counted: bool
    normal: int | None
    peak: int | None
    there: int
    idle: int


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of one server.

    Attributes:
        usable: Slots that an ordinary role can get.
        others: Sessions of nobody whose part is known.
    """

    lines: tuple[BudgetLine, ...]
    usable: int
    others: int

    @property
    def known(self) -> bool:
        """Whether anybody's part is."""
        return any(line.peak is not None for line in self.lines)

    @property
    def normal(self) -> int:
        """Sessions on a usual day, those of others as now."""
        return self.others + sum(line.normal or 0 for line in self.lines)

    @property
    def peak(self) -> int:
        """Sessions when every service has its most, those of others as now."""
        return self.others + sum(line.peak or 0 for line in self.lines)


def budget_of(facts: Facts) -> Budget | None:
    """Set up the budget; None when the slots are not known."""
    slots = facts.sample.slots
    if slots is None:
        return None
    lines = tuple(_line(facts, service) for service in facts.services)
    planned = sum(line.there for line in lines if line.peak is not None)
    return Budget(lines, slots.usable, max(0, slots.used - planned))


def _line(facts: Facts, service: ServiceFacts) -> BudgetLine:
    groups = of_service(facts.sample.groups, service.name)
    replicas = max(1, service.replicas or 1)
    expected = service.connections
    return BudgetLine(
        service=service.name,
        replicas=replicas,
        counted=bool(service.replicas),
        normal=expected.usual(replicas) if expected else None,
        peak=expected.most(replicas) if expected else None,
        there=sum(g.count for g in groups),
        idle=sum(g.count for g in groups if g.state == IDLE),
    )
