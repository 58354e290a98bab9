"""Who gets to see each completed cycle as a whole: the recorder, and whoever else joins."""

from __future__ import annotations

from remediator.adapters.everyone import Followers
from remediator.adapters.recording import Keep, Recorder
from remediator.config import Settings
from remediator.core.deposition import Deposition
from remediator.core.model import Mode
from remediator.core.times import instant
from remediator.ports import KEEP_RECORDS, Clock, Observer


class Following(Followers):
    """Follows from the beginning what the settings ask for, and lets go of it in the end.

    Args:
        settings: The settings.
        mode: Whose cycles these are.
        observer: Told of trouble.
        clock: Tells this life of the daemon from others.
    """

    def __init__(self, settings: Settings, mode: Mode, observer: Observer, clock: Clock) -> None:
        super().__init__(observer)
        recording = settings.recording
        keep = Keep(recording.keep, KEEP_RECORDS, recording.max_size)
        self._recorder = Recorder(settings.state_dir, mode, instant(clock.now().at), keep, observer)
        self._keeps = bool(recording.keep)
        if self._keeps:
            self.join(self._recorder)

    def diagnosed(self, deposition: Deposition) -> None:
        """Keep what was learned right before a restart."""
        if self._keeps:
            self._recorder.diagnosed(deposition)

    def close(self) -> None:
        """Write what is not written yet; waits for no disk for long."""
        self._recorder.close()
