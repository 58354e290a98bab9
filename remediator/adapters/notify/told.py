"""An event as it was told, with its fields read safely: they are whatever the teller put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remediator.core.events import Event


@dataclass(frozen=True, slots=True)
class Told:
    """An event that was told.

    Attributes:
        at: When, on the wall clock.
        mono: When, on the monotonic clock.
    """

    event: Event
    fields: Mapping[str, Any]
    at: datetime
    mono: float

    @property
    def database(self) -> str:
        """Which database it is about; empty for the daemon."""
        return self.text("database")

    @property
    def incident(self) -> str:
        """Which incident it belongs to; empty for none."""
        return self.text("incident")

    def text(self, name: str) -> str:
        """A field as text; several values are joined."""
        value = self.fields.get(name)
        if isinstance(value, list | tuple):
            return "; ".join(str(item) for item in value)
        return "" if value is None else str(value)

    def number(self, name: str) -> float | None:
        """A field as a number, None when it is none."""
        value = self.fields.get(name)
        return float(value) if isinstance(value, int | float) else None

    def mappings(self, name: str) -> list[Mapping[str, Any]]:
        """A field that is a list of mappings."""
        value = self.fields.get(name)
        return (
            [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []
        )
