"""How long what runs a service is given to stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from remediator.core.text import duration

SHORT_GRACE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class StopGrace:
    """How long a container is given to stop before it is killed.

    Attributes:
        name: The container's name.
        given: Its stop timeout; None when it was given none, so that Docker's ten seconds hold.
    """

    name: str
    given: timedelta | None

    @property
    def short(self) -> bool:
        """Whether work in flight is likely to be lost."""
        return self.given is None or self.given < SHORT_GRACE

    @property
    def text(self) -> str:
        """The grace in words."""
        if self.given is None:
            return f"{self.name} has no stop grace period of its own, so Docker's 10s"
        return f"{self.name} has a stop grace period of {duration(self.given)}"
