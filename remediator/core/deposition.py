"""What a service had to say for itself right before it was restarted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MOST = 64 * 1024
"""Bytes of output that are kept; what a program has to say first is the most telling."""


@dataclass(frozen=True, slots=True)
class Deposition:
    """What a read-only diagnostic showed of one replica.

    Attributes:
        id: The replica's identity.
        at: When it was asked, on the wall clock.
        seconds: How long it took.
        result: How it ended, in words: `exit 0`, or why there is no answer.
        output: The beginning of what it printed, without secrets.
    """

    service: str
    id: str
    replica: str
    at: datetime
    seconds: float
    result: str
    output: str = ""
