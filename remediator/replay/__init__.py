"""Another policy over what was recorded: the real cycle, in a world made of readings."""

from __future__ import annotations

from remediator.replay.rerun import Rerun, Script, rerun

__all__ = ["Rerun", "Script", "rerun"]
