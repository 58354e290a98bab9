"""What leaked sessions, and those that ended, point to: for people, with the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remediator.core.model import IDLE, Sample, SessionGroup
from remediator.core.text import count, duration

_MOST = 0.5


def signs(leaked: Sequence[SessionGroup], sample: Sample) -> Iterator[str]:
    """Say in words what the kind of sessions, and how others ended, point to.

    Args:
        leaked: The leaked sessions.
        sample: The sample, with the readings before it.
    """
    total = sum(g.count for g in leaked)
    unused = sum(g.count for g in leaked if g.unused)
    resting = sum(g.count for g in leaked if g.state != IDLE)
    if unused and unused >= _MOST * total:
        yield f"{unused} never ran a statement: a pool opens more than is needed, or a fork inherited them"
    if resting:
        yield f"{count(resting, 'session')} idle in a transaction that nobody ends; such are never terminated"
    yield from _endings(sample)


def _endings(sample: Sample) -> Iterator[str]:
    """How sessions ended in the last minutes, as far as it was not their clients that left."""
    ended = sample.trend.endings()
    if ended is None:
        return
    within = f"in the last {duration(round(sample.trend.seconds))}"
    if ended.abandoned:
        what = count(ended.abandoned, "session")
        yield f"{what} abandoned {within}: clients vanish (killed, or lost from the network)"
    if ended.fatal:
        yield f"{count(ended.fatal, 'session')} ended by fatal errors {within}: the server's log names them"
    if ended.killed:
        yield f"{count(ended.killed, 'session')} ended by somebody else {within}: an operator, another tool"
