"""Readings of several databases in the order in which they were taken, a few at a time in memory."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from datetime import timedelta

from remediator.core.model import Moment
from remediator.core.reading import Reading

_EVER = timedelta.max
# The clocks of one machine are not quite the same, and outcomes are dated by the wall clock.
_SAME = timedelta(seconds=1)

_Next = tuple[Reading, timedelta]


async def in_order(streams: Sequence[AsyncIterable[Reading]]) -> AsyncIterator[_Next]:
    """Go through readings by the ledger's clock, each with how long after it its database was seen next.

    Args:
        streams: One for each database, oldest first.
    """
    open_ones = [_with_length(stream) for stream in streams]
    heads = {stream: head for stream in open_ones if (head := await anext(stream, None)) is not None}
    while heads:
        stream = min(heads, key=lambda one: _place(heads[one][0]))
        yield heads[stream]
        following = await anext(stream, None)
        if following is None:
            del heads[stream]
        else:
            heads[stream] = following


def _place(reading: Reading) -> tuple[object, str]:
    return reading.sample.moment.steady, reading.database


async def _with_length(readings: AsyncIterable[Reading]) -> AsyncIterator[_Next]:
    """How long after each reading the next one was, by the wall clock if it was not set."""
    before: Reading | None = None
    async for reading in readings:
        if before is not None:
            yield before, _passed(before.sample.moment, reading.sample.moment)
        before = reading
    if before is not None:
        yield before, _EVER


def _passed(before: Moment, after: Moment) -> timedelta:
    wall, steady = after.at - before.at, after.steady - before.steady
    return wall if abs(wall - steady) < _SAME else steady
