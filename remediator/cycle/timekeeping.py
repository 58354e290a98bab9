"""The ledger's clock, kept going, and the wall clock watched for jumps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from remediator.core.clock import ClockMark, jump, outdated, stamped
from remediator.core.events import Event
from remediator.core.model import Moment
from remediator.core.text import duration
from remediator.errors import LedgerError
from remediator.ports import LedgerStore, Observer


@dataclass(slots=True)
class Timekeeper:
    """Reads the ledger's clock for all cycles of a process."""

    store: LedgerStore
    observer: Observer
    _mark: ClockMark | None = None
    _known: bool = False
    _last: Moment | None = None

    async def stamp(self, moment: Moment) -> Moment:
        """Add the ledger's time to a moment, as soon as the ledger could be read once.

        Tells when the wall clock was set since the last moment, and keeps that in mind for good.
        """
        last, self._last = self._last, moment
        off = jump(last, moment) if last is not None else timedelta(0)
        if off:
            way = "forward" if off > timedelta(0) else "back"
            because = f"the wall clock was set {way} by {duration(abs(off))}"
            seconds = round(off.total_seconds(), 3)
            self.observer.emit(Event.CLOCK_JUMPED, because=because, seconds=seconds)
        with suppress(LedgerError):  # said where it is needed; the next look tries again
            await self._read()
            moment = stamped(moment, self._mark)
            if outdated(self._mark, moment):
                await self.keep(moment)
        return moment

    async def keep(self, moment: Moment) -> None:
        """Keep where all clocks stood, durably, so that what is about to be done can be dated by it.

        Raises:
            LedgerError: It could not be kept, or the ledger's time was not known at that moment.
        """
        if moment.stamp is None:
            raise LedgerError("the ledger could not be asked for its time when this check began")
        mark = ClockMark.of(moment)
        await self.store.keep_clock(mark)
        self._mark = mark

    async def _read(self) -> None:
        if not self._known:
            self._mark = await self.store.clock()
            self._known = True
