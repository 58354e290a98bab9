"""Exit codes, the same for every command unless its help says otherwise."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of a command means. The numbers above 63 are those of sysexits.h."""

    OK = 0
    FAILED = 1
    CRITICAL = 2
    UNKNOWN = 3
    USAGE = 64
    UNAVAILABLE = 69
    LEDGER = 74
    BUSY = 75
    CONFIG = 78
    INTERRUPTED = 130
