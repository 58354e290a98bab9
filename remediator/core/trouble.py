"""Why something could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TroubleKind(StrEnum):
    """Why there is no reading."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STARTING = "starting_up"
    STOPPING = "shutting_down"
    FULL = "full"
    DENIED = "denied"
    HIDDEN = "sessions_hidden"
    MOVED = "moved"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something could not be read, in words a person can act on."""

    kind: TroubleKind
    detail: str
