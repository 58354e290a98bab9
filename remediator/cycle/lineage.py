"""Noticing that another server answers, or that the server was started again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from remediator.core.assess import Watch
from remediator.core.events import Event
from remediator.core.ledger import Entry
from remediator.core.model import Sample
from remediator.core.server import Server, replaced, restarted
from remediator.core.trend import NO_TREND
from remediator.cycle.telling import Teller


@dataclass(slots=True)
class Lineage:
    """Knows the server of the newest reading, and tells when it is not the one before.

    Attributes:
        server: The server of the newest reading, None before the first.
        replaced: How it differs from the one before, when it is another one since the last sample.
    """

    teller: Teller
    server: Server | None = None
    replaced: str = ""

    def note(self, sample: Sample, watch: Watch) -> tuple[Sample, Watch]:
        """Take note of a sample's server.

        Returns:
            The sample, which says so if it is another server's; and the watch, whose evidence begins
            anew when it was of a server that is gone.
        """
        before, now = self.server, sample.server
        self.server = now or before
        self.replaced = replaced(before, now)
        if now is None or not (self.replaced or restarted(before, now)):
            return sample, watch
        if self.replaced:
            self.teller.emit(
                Event.SERVER_CHANGED,
                because=self.replaced,
                version=now.version,
                address=now.address,
                standby=now.in_recovery,
                may_signal=now.can_signal,
            )
        else:
            self.teller.emit(Event.SERVER_RESTARTED, started_at=now.started_at.isoformat())
        return replace(sample, replaced=self.replaced), replace(watch, timers={}, trend=NO_TREND)

    @property
    def identity(self) -> str:
        """The server, as records name it."""
        return self.server.identity if self.server is not None else ""

    def elsewhere(self, entry: Entry) -> bool:
        """Tell whether an intent was for another server than the one that answers now."""
        wanted = entry.intent.server
        return bool(self.replaced or (wanted and self.identity and wanted != self.identity))
