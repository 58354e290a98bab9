"""What may be restarted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Verification:
    """What a restarted replica must show before the restart counts.

    Attributes:
        within: How long it may take, after its stop timeout, to be running and healthy.
        steady_for: How long it must then stay up without another start.
    """

    within: timedelta = timedelta(seconds=90)
    steady_for: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Service:
    """Something that may be restarted, by the name steps use."""

    name: str
    verification: Verification = field(default_factory=Verification)
