"""Owners as they were recorded: who lived where then is not known any more."""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core.attribution import Attribution
from remediator.core.model import Sample, Session
from remediator.cycle import Attributor


class _Kept(Attribution):
    """Leaves everything to whom it belonged."""

    def of_sample(self, sample: Sample) -> Sample:
        """The sample as it is."""
        return sample

    def of_sessions(self, sessions: Sequence[Session]) -> tuple[Session, ...]:
        """The sessions as they are."""
        return tuple(sessions)


class AsRecorded(Attributor):
    """Looks nothing up."""

    def __post_init__(self) -> None:
        self.latest = _Kept()
