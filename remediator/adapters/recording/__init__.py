"""What was seen and decided, kept beside the ledger; nothing that is done depends on it."""

from __future__ import annotations

from remediator.adapters.recording.recorder import Recorder
from remediator.adapters.recording.store import SqliteRecording
from remediator.adapters.recording.thinning import Keep

__all__ = ["Keep", "Recorder", "SqliteRecording"]
