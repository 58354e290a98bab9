"""What waits to be sent, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be sent to one target.

    Attributes:
        id: Rises with each message.
        at: When it was written, seconds of the wall clock.
        tone: How it is to be taken.
        begun: Sending it has begun, and what came of that is not known.
        crashes: How often we ended in the middle of sending it.
    """

    id: int
    target: str
    title: str
    body: str
    tone: str
    at: float
    begun: bool = False
    crashes: int = 0
