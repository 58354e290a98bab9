"""Looking up whose sessions are whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from remediator.core.attribution import Attribution, Claim
from remediator.ports import Directories


@dataclass(slots=True)
class Attributor:
    """Knows who lives where, as of the last time it was asked.

    Attributes:
        directories: Who knows it; None where nobody does.
        claims: What the operator says of names and addresses.
        latest: What was known last.
    """

    directories: Directories | None = None
    claims: Sequence[Claim] = ()
    latest: Attribution = field(init=False)

    def __post_init__(self) -> None:
        self.latest = Attribution(claims=self.claims)

    async def renew(self) -> Attribution:
        """Ask anew."""
        if self.directories is not None:
            self.latest = Attribution(await self.directories.read(), self.claims)
        return self.latest
