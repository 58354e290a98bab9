"""Another policy over what was recorded: the real cycle, in a world made of readings."""

from __future__ import annotations

from remediator.replay.comparison import Comparison
from remediator.replay.rerun import Rerun, Script

__all__ = ["Comparison", "Rerun", "Script"]
