"""What happened, in lines: the last ones are kept, all of them are counted into a digest."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from hashlib import sha256


class Trace:
    """The story of a simulation.

    Args:
        loop: Whose time stands before each line.
        tail: How many lines are kept.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tail: int) -> None:
        self._loop = loop
        self._tail: deque[tuple[float, str, str]] = deque(maxlen=tail)
        self._digest = sha256()
        self.counts: Counter[str] = Counter()

    def note(self, who: str, what: str, *, keep: bool = True) -> None:
        """Take note of something.

        Args:
            who: A few words that are counted.
            what: The particulars.
            keep: Whether a person who reads the story wants to read this.
        """
        now = self._loop.time()
        self._digest.update(f"{now!r} {who}: {what}".encode())
        self.counts[who] += 1
        if keep:
            self._tail.append((now, who, what))

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines."""
        return tuple(f"{_time(now)} {who}: {what}" for now, who, what in self._tail)

    @property
    def digest(self) -> str:
        """What two runs have in common if they were the same."""
        return self._digest.hexdigest()[:16]


def _time(seconds: float) -> str:
    day, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return f"d{day:.0f} {hours:02.0f}:{minutes:02.0f}:{rest:06.3f}"
