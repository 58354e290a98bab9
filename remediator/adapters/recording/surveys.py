"""Surveys told by what has changed since an earlier one: in an incident most sessions stay as they are.

Nothing is lost by it: what is rebuilt is equal to what was taken apart, or it is written down in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeGuard

from remediator.core.model import Replica, Session
from remediator.core.plan import Survey
from remediator.core.reading import Reading
from remediator.core.trouble import Trouble

# So long is told by changes, then in full again: whatever becomes damaged costs a minute at most.
_FULL_EVERY = timedelta(minutes=1) // timedelta(microseconds=1)
_LONGEST = timedelta(days=100 * 365).total_seconds()
_MICRO = 1e-6
_DIGITS = 6
_RUN = 2

# From a place in the earlier survey on, so many sessions in a row.
Run = tuple[int, int]
# The session at a place there, with another state, time of its change, idle time, and transaction.
Turned = tuple[int, str | None, datetime | None, float, bool]


@dataclass(frozen=True, slots=True)
class Later:
    """A survey, as what has changed since an earlier one.

    Attributes:
        base: The row that has the earlier one.
        services: As they were read; there are few.
        parts: The sessions in order: as they were, changed a little, or new.
        shift: For so many seconds longer, about, have those been idle that are as they were.
        drift: Microseconds by which each of them differs from that.
    """

    base: int
    services: dict[str, tuple[Replica, ...] | Trouble]
    parts: tuple[Run | Turned | Session, ...] = ()
    shift: float = 0.0
    drift: tuple[int, ...] = ()


@dataclass(slots=True)
class Surveys:
    """Knows of each database the survey that was last kept in full."""

    _full: dict[str, tuple[int, Survey, int, str]] = field(default_factory=dict)

    def later(self, reading: Reading, steady: int) -> Later | None:
        """Tell a reading's survey by what has changed, None where it is to be kept in full.

        What was acted upon is kept in full, so that the evidence stands for itself.

        Args:
            reading: The reading.
            steady: Its time on the ledger's clock, in microseconds.
        """
        known, survey = self._full.get(reading.database), reading.survey
        if known is None or survey is None or (reading.plan is not None and reading.plan.next_rung):
            return None
        row, before, at, incident = known
        same = incident == _incident(reading) and 0 <= steady - at < _FULL_EVERY
        return _changes(row, before, survey) if same else None

    def kept(self, reading: Reading, steady: int, row: int) -> None:
        """Take note of a survey that was kept in full, and where."""
        if reading.survey is not None:
            self._full[reading.database] = row, reading.survey, steady, _incident(reading)

    def forget(self) -> None:
        """Begin anew: rows may have been removed."""
        self._full.clear()


def rebuilt(before: Survey, later: Later) -> Survey:
    """The survey that was told by its changes.

    Args:
        before: The earlier one.
        later: What has changed.

    Raises:
        ValueError: The two do not belong together.
    """
    old = () if isinstance(before.sessions, Trouble) else before.sessions
    if sum(_taken(part) for part in later.parts) > len(old):
        raise ValueError("the earlier survey has fewer sessions")
    return Survey(tuple(_sessions(old, later)), later.services)


def _sessions(old: Sequence[Session], later: Later) -> Iterator[Session]:
    drift = iter(later.drift)
    for part in later.parts:
        match part:
            case Session():
                yield part
            case (place, state, state_change, idle_for, in_transaction):
                yield _turned(_at(old, place), (place, state, state_change, idle_for, in_transaction))
            case (start, count):
                for place in range(start, start + count):
                    yield _older(_at(old, place), later.shift, drift)


def _taken(part: Run | Turned | Session) -> int:
    """How many sessions of the earlier survey a part takes: each of them is there once at most."""
    if not _is_run(part):
        return 0 if isinstance(part, Session) else 1
    if part[1] < 0:
        raise ValueError("fewer than no sessions")
    return part[1]


def _at(old: Sequence[Session], place: int) -> Session:
    if not 0 <= place < len(old):
        raise ValueError("the earlier survey does not have that session")
    return old[place]


def _turned(session: Session, turned: Turned) -> Session:
    _, state, state_change, idle_for, in_transaction = turned
    return replace(
        session, state=state, state_change=state_change, idle_for=idle_for, in_transaction=in_transaction
    )


def _older(session: Session, shift: float, drift: Iterator[int]) -> Session:
    if not session.idle_for:
        return session
    try:
        idle_for = _after(session, shift, next(drift))
    except StopIteration:
        raise ValueError("too few idle times") from None
    if abs(idle_for) > _LONGEST:
        raise ValueError("idle for longer than can be")
    return replace(session, idle_for=idle_for)


def _after(session: Session, shift: float, drift: int) -> float:
    return round(session.idle_for + shift + drift * _MICRO, _DIGITS)


def _incident(reading: Reading) -> str:
    return reading.incident.id if reading.incident is not None else ""


def _changes(row: int, before: Survey, after: Survey) -> Later | None:
    """What has changed, None when that is no shorter."""
    if isinstance(before.sessions, Trouble) or isinstance(after.sessions, Trouble):
        return None
    old, new = before.sessions, after.sessions
    places = {session.id: place for place, session in enumerate(old)}
    pairs = [(places.get(session.id), session) for session in new]
    stayed = ((old[place], session) for place, session in pairs if place is not None)
    shift = next((s.idle_for - o.idle_for for o, s in stayed if o.idle_for and s.idle_for > o.idle_for), 0.0)
    parts: list[Run | Turned | Session] = []
    drifts: list[int] = []
    for place, session in pairs:
        part = session if place is None else _part(place, old[place], session, shift, drifts)
        last = parts[-1] if parts else None
        if _is_run(part) and _is_run(last) and last[0] + last[1] == part[0]:
            parts[-1] = last[0], last[1] + 1
        else:
            parts.append(part)
    if sum(isinstance(part, Session) for part in parts) * 2 > len(new):
        return None
    return Later(row, after.services, tuple(parts), shift, tuple(drifts))


def _part(place: int, old: Session, new: Session, shift: float, drifts: list[int]) -> Run | Turned | Session:
    """How to tell one session; a run of one, where it is as it was, with its drift appended."""
    if not old.idle_for:
        if new == old:
            return place, 1
    elif new == replace(old, idle_for=new.idle_for):
        drift = round((new.idle_for - old.idle_for - shift) / _MICRO)
        if _after(old, shift, drift) == new.idle_for:
            drifts.append(drift)
            return place, 1
    turned = place, new.state, new.state_change, new.idle_for, new.in_transaction
    return turned if _turned(old, turned) == new else new


def _is_run(part: Run | Turned | Session | None) -> TypeGuard[Run]:
    return isinstance(part, tuple) and len(part) == _RUN
