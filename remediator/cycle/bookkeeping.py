"""Whether the ledger can be used: looked after in calm times too, and said, again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from remediator.core.assess import Assessment
from remediator.core.events import Event
from remediator.core.model import Level, Moment
from remediator.core.text import duration
from remediator.cycle.telling import Teller
from remediator.errors import LedgerError
from remediator.ports import LedgerStore

# A ledger that cannot be written must not be found out about in the middle of the night, when it is needed.
_CHECK_EVERY = 60.0
_REMIND_EVERY = 600.0


@dataclass(slots=True)
class Bookkeeping:
    """Knows whether what is about to be done could be recorded.

    Attributes:
        fence: Raises LedgerError when we are not the only one who may act.
    """

    store: LedgerStore
    teller: Teller
    fence: Callable[[], None]
    _check_at: float = field(default=float("-inf"))
    _lost_at: float | None = None
    _remind_at: float = 0.0
    _critical: bool = False

    def due(self, moment: Moment) -> bool:
        """Whether it is time to look, although nothing has to be recorded."""
        return self._lost_at is not None or moment.mono >= self._check_at

    async def examine(self, moment: Moment) -> None:
        """Make sure that we alone may act, and once in a while that a record could be made.

        Raises:
            LedgerError: It could not, or we may not act.
        """
        self.fence()
        if self.due(moment):
            await self.store.check()
            self._check_at = moment.mono + _CHECK_EVERY

    def failed(self, error: LedgerError, assessment: Assessment) -> None:
        """Take note that nothing can be recorded; say so, and say it again while it lasts.

        Said at once when it becomes critical, too: there can be no incident that would tell of it.
        """
        sample, critical = assessment.sample, assessment.level is Level.CRITICAL
        mono, worse = sample.moment.mono, critical and not self._critical
        self._critical = critical
        if self._lost_at is None:
            self._lost_at = mono
        elif mono < self._remind_at and not worse:
            return
        fields: dict[str, object] = {"level": assessment.level.label}
        if critical and sample.slots is not None:
            fields |= {"used": sample.slots.used, "usable": sample.slots.usable}
        lasted = duration(mono - self._lost_at)
        self.teller.emit(Event.LEDGER_UNAVAILABLE, None, because=str(error), **fields, lasted=lasted)
        self._remind_at = mono + _REMIND_EVERY

    def worked(self) -> None:
        """Take note that everything was recorded."""
        if self._lost_at is not None:
            self.teller.emit(Event.LEDGER_AVAILABLE)
        self._lost_at, self._critical = None, False
