"""Looking up whose sessions are whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from remediator.core.attribution import Attribution, Claim
from remediator.core.directory import EMPTY, Directory
from remediator.core.model import Sample
from remediator.core.vicinity import believable
from remediator.ports import Directories


@dataclass(slots=True)
class Attributor:
    """Knows who lives where, as of the last time it was asked.

    Attributes:
        directories: Who knows it; None where nobody does.
        claims: What the operator says of names and addresses.
        latest: What the last sample's sessions were told by.
    """

    directories: Directories | None = None
    claims: Sequence[Claim] = ()
    latest: Attribution = field(init=False)
    _directory: Directory = field(default=EMPTY, init=False)

    def __post_init__(self) -> None:
        self.latest = Attribution(claims=self.claims)

    async def renew(self) -> Mapping[str, datetime]:
        """Ask anew who lives where; tell since when, by address."""
        if self.directories is not None:
            self._directory = await self.directories.read()
        return self._directory.starts

    def attribute(self, sample: Sample) -> Sample:
        """Tell whose the sessions of a sample are, and why not by their addresses if so."""
        if self.directories is not None and sample.server is not None:
            directory, untold = believable(self._directory, sample.server)
            self.latest = Attribution(directory, self.claims)
            sample = replace(sample, untold=untold)
        return self.latest.of_sample(sample)
