"""The ledger's clock: it goes on as time really passes, whatever the wall clock is set to.

Within one boot of the machine it follows the time since boot, which nobody can set. Across a reboot there is
nothing but the wall clock. It never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.moment import Moment

_NOTHING = timedelta(0)
# More than a clock that is merely corrected in small steps is ever off between two looks.
_JUMP = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class ClockMark:
    """One moment on all clocks at once, kept with the records.

    Attributes:
        boot: Which boot of the machine it was.
        uptime: Seconds since then.
        at: Wall-clock time.
        steady: Time on the ledger's clock.
    """

    boot: str
    uptime: float
    at: datetime
    steady: datetime

    @classmethod
    def of(cls, moment: Moment) -> ClockMark:
        """Mark a moment."""
        return cls(moment.boot, moment.uptime, moment.at, moment.steady)


def stamped(moment: Moment, mark: ClockMark | None) -> Moment:
    """Read the ledger's clock at a moment.

    Args:
        moment: As the machine's clocks were read.
        mark: What was kept last; without one the ledger's clock starts with the wall clock's time.
    """
    if mark is None:
        return _at(moment, moment.at)
    if moment.boot and moment.boot == mark.boot:
        passed = timedelta(seconds=moment.uptime - mark.uptime)
    else:
        passed = moment.at - mark.at
    return _at(moment, mark.steady + max(_NOTHING, passed))


def _at(moment: Moment, stamp: datetime) -> Moment:
    return Moment(moment.at, moment.mono, moment.boot, moment.uptime, stamp)


def outdated(mark: ClockMark | None, moment: Moment) -> bool:
    """Whether a mark would mislead whoever reads the clock after the next reboot."""
    if mark is None or mark.boot != moment.boot:
        return True
    return bool(_off(mark.at, mark.uptime, moment.at, moment.uptime) if moment.boot else moment.at < mark.at)


def jump(before: Moment, after: Moment) -> timedelta:
    """How far the wall clock was set between two moments of a process, negative for back; 0 if it was not."""
    if after.boot:
        return _off(before.at, before.uptime, after.at, after.uptime)
    return _off(before.at, before.mono, after.at, after.mono)


def _off(at: datetime, seconds: float, later: datetime, more_seconds: float) -> timedelta:
    off = (later - at) - timedelta(seconds=more_seconds - seconds)
    return off if abs(off) >= _JUMP else _NOTHING
