"""The right to act on a `FakeDatabase`, which one remediator has at a time."""

from __future__ import annotations

from dataclasses import dataclass

_US, _OTHER = "us", "another"


@dataclass(slots=True)
class FakeClaim:
    """A lock that belongs to a session.

    Attributes:
        wanted: Whether we take it with each sample, if it is free.
        holder: Who has it, empty for nobody.
    """

    wanted: bool = False
    holder: str = ""

    @property
    def ours(self) -> bool:
        """Whether we may act."""
        return not self.wanted or self.holder == _US

    @property
    def lost(self) -> bool:
        """Whether another remediator has it."""
        return self.wanted and self.holder == _OTHER

    def take(self) -> bool:
        """Take it for us if it is free; tell whether we may act."""
        if self.wanted and not self.holder:
            self.holder = _US
        return self.ours

    def take_for_another(self) -> bool:
        """Take it for another remediator if it is free; tell whether that one has it."""
        self.holder = self.holder or _OTHER
        return self.holder == _OTHER

    def leave(self) -> None:
        """The session that had it ends."""
        self.holder = ""
