"""A replay as a whole, for tests of whether it is like what was replayed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from remediator.adapters.recording import Recorder
from remediator.core.ledger import Entry, Incident
from remediator.core.model import Mode
from remediator.core.policy import Policy
from remediator.core.reading import Reading
from remediator.core.service import Service
from remediator.replay import Rerun, Script


@dataclass(frozen=True)
class Replayed:
    """What was recorded and what came of it, cycle by cycle, and what was done the second time."""

    before: tuple[Reading, ...]
    after: tuple[Reading, ...]
    entries: tuple[Entry, ...]


async def replayed(
    readings: Sequence[Reading],
    incidents: Iterable[Incident],
    entries: Iterable[Entry],
    policies: Mapping[str, Policy],
    services: Mapping[str, Service],
    mode: Mode,
) -> Replayed:
    """Replay what was recorded."""
    streams = [_of(name, readings) for name in policies]
    rerun = Rerun(Script(streams, tuple(incidents), tuple(entries), policies, services, mode))
    pairs = [pair async for pair in rerun.play()]
    return Replayed(tuple(then for then, _ in pairs), tuple(now for _, now in pairs), rerun.entries)


async def _of(database: str, readings: Iterable[Reading]) -> AsyncIterator[Reading]:
    for reading in readings:
        if reading.database == database:
            yield reading


def finish(recorder: Recorder) -> None:
    """Let a recorder write what waits, however busy the machine is."""
    thread = recorder._thread  # noqa: SLF001  in life the end does not wait for it for long
    recorder.close()
    if thread is not None:
        thread.join(60)
        assert not thread.is_alive()
