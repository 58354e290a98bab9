"""Somebody who is told what happens, and how it goes with telling them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from remediator.adapters.notify.damper import Damper
from remediator.adapters.notify.message import Message
from remediator.adapters.notify.sender import Sent
from remediator.core.notice import Kind

DEADLINE = 20.0
"""Seconds that one attempt may take."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
"""Seconds from one failed attempt to the next; it doubles with each."""
KEPT = timedelta(hours=24)
"""How long a message is tried for."""

_HANGING = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who is told what happens.

    Attributes:
        name: How it is called in events and commands.
        url: Where to, as Apprise writes it; never shown.
        kinds: What is told.
        databases: Of which databases; empty for all.
        remind_every: After how long a fact that lasts is told again; None is never.
    """

    name: str
    url: str = field(repr=False)
    kinds: frozenset[Kind]
    databases: frozenset[str] = frozenset()
    remind_every: timedelta | None = timedelta(hours=4)


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt to send a message, in a thread of its own.

    Attributes:
        late: It was given up; its thread may hang still.
    """

    message: Message
    deadline: float
    late: bool = False


@dataclass(slots=True)
class Route:
    """The way to one target.

    Attributes:
        failures: Attempts that failed since the last one that did not.
        down_since: When the first of these failed, on the monotonic clock.
        attempts: Those whose threads have not ended.
    """

    target: Target
    damper: Damper
    failures: int = 0
    down_since: float = 0.0
    next_try: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def current(self) -> Attempt | None:
        """The attempt that is waited for."""
        return next((attempt for attempt in self.attempts if not attempt.late), None)

    @property
    def free(self) -> bool:
        """Whether another attempt may be begun: not too many hang."""
        return self.current is None and len(self.attempts) < _HANGING

    def failed(self, mono: float) -> bool:
        """Note a failure; tell whether it is the first of an outage."""
        self.failures += 1
        self.next_try = mono + min(FIRST_WAIT * 2 ** min(self.failures - 1, 20), LONGEST_WAIT)
        if self.failures == 1:
            self.down_since = mono
        return self.failures == 1

    def delivered(self, mono: float) -> float | None:
        """Note a success; tell how many seconds the outage lasted that it ended, None without one."""
        lasted = mono - self.down_since if self.failures else None
        self.failures, self.next_try = 0, 0.0
        return lasted


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt."""

    target: str
    attempt: Attempt
    sent: Sent
