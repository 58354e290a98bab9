"""What it means that a server cannot be read, and what mends it, by the trouble it is in."""

from __future__ import annotations

from remediator.core.server import KEEP_A_SLOT
from remediator.core.trouble import TroubleKind

_FULL_WHY = (
    "A command that is not let in can tell nothing else. A daemon that was connected before goes on reading, "
    "and in enforce mode terminating. A refusal is evidence enough to restart services, but tells no culprit."
)
_FULL_FIX = (
    "`remediator plan` says what would be done, `remediator history` what was done. For the next time: "
    f"{KEEP_A_SLOT}."
)
_DENIED_WHY = "Nothing else can be told of it, and nothing is done for it, but by a daemon connected before."
_DENIED_FIX = "Mend the role, its password or pg_hba.conf; `remediator doctor` says whether that has helped."
_DOWN_WHY = "Nothing else can be told of it. A server that is down is not a full one: nothing is done for it."
_DOWN_FIX = (
    "Bring the server back, or correct its address in the config; `remediator check` says when it answers."
)
_WAIT_FIX = "Wait until it is up again; `remediator check` says when it answers."

_TOLD = {
    TroubleKind.FULL: (_FULL_WHY, _FULL_FIX),
    TroubleKind.DENIED: (_DENIED_WHY, _DENIED_FIX),
    TroubleKind.UNREACHABLE: (_DOWN_WHY, _DOWN_FIX),
    TroubleKind.TIMEOUT: (_DOWN_WHY, _DOWN_FIX),
    TroubleKind.STARTING: (_DOWN_WHY, _WAIT_FIX),
    TroubleKind.STOPPING: (_DOWN_WHY, _WAIT_FIX),
}


def without_reading(kind: TroubleKind) -> tuple[str, str]:
    """Say why it matters that a server cannot be read, and what mends it; empty where the rule says it."""
    return _TOLD.get(kind, ("", ""))
