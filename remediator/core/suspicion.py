"""When a service counts as the one that leaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Otherwise(StrEnum):
    """What is done when no service is clearly the culprit."""

    HOLD = "hold"
    IN_ORDER = "in_order"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """When a service counts as the one that leaks.

    Attributes:
        among: The services that may be it, in the order in which they are restarted when it is not clear.
        share: The ratio of all leaked sessions that it must hold at least, and no other service.
        older_than: How long a session must have been idle to count as leaked.
        least: The ratio of the usable slots that its leaked sessions must take at least.
        otherwise: What is done when it is not clear.
    """

    among: tuple[str, ...]
    share: float = 0.5
    older_than: timedelta = timedelta(minutes=1)
    least: float = 0.1
    otherwise: Otherwise = Otherwise.HOLD
