"""Each invariant can fail: what the daemon stands on is broken, one thing at a time, and it is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from remediator.core.ledger import Entry, Incident, Intent, Ledger
from remediator.core.model import Moment, Probe, ProbeResult, Replica, Sample, Session
from remediator.ports import NO_STARTS, Database, LedgerStore, Receipt, Runtime
from tests.simulation.options import Options, Tamper
from tests.simulation.runner import simulate

SEEDS = 40


class _Through:
    """Passes everything on."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _Twice(_Through):
    async def restart(self, replica: Replica) -> Receipt:
        receipt: Receipt = await self.inner.restart(replica)
        for found in await self.inner.replicas():
            if found.name == replica.name:
                await self.inner.restart(found)
        return receipt


class _Blind(_Through):
    async def sessions(self) -> tuple[Session, ...]:
        found = await self.inner.sessions()
        return tuple(replace(session, advisory_lock=False, listening=False) for session in found)


class _Fearful(_Through):
    async def sample(self, moment: Moment, starts: Mapping[str, datetime] = NO_STARTS) -> Sample:
        sample: Sample = await self.inner.sample(moment, starts)
        refused = Probe(ProbeResult.REFUSING, "53300", "supposed")
        return sample if sample.slots else replace(sample, probe=refused, trouble=None)


class _Forgetful(_Through):
    async def load(self, since: datetime) -> Ledger:
        ledger: Ledger = await self.inner.load(since)
        return replace(ledger, entries=tuple(e for e in ledger.entries if e.outcome is None))


class _Deaf(_Through):
    async def load(self, since: datetime) -> Ledger:
        ledger: Ledger = await self.inner.load(since)
        return replace(ledger, pause=None, locks=())


class _Lazy(_Through):
    async def intend(self, incident: Incident, intents: Sequence[Intent]) -> tuple[Entry, ...]:
        await self.inner.save_incident(incident)
        return tuple(Entry(1_000_000 + n, intent) for n, intent in enumerate(intents))

    async def conclude(self, outcomes: object) -> None:
        """Nothing to conclude."""


class _Mute(_Through):
    async def conclude(self, outcomes: object) -> None:
        """Outcomes get lost."""


class _Breaks(Tamper):
    """Puts broken things in the place of whole ones."""

    def __init__(self, *, database: Any = None, runtime: Any = None, store: Any = None, **edits: str) -> None:
        self._database, self._runtime, self._store, self._edits = database, runtime, store, edits

    def config(self, text: str) -> str:
        for old, new in self._edits.items():
            text = text.replace(old.replace("_", "-"), new)
        return text

    def database(self, database: Database) -> Database:
        return self._database(database) if self._database else database

    def runtime(self, runtime: Runtime) -> Runtime:
        return self._runtime(runtime) if self._runtime else runtime

    def store(self, store: LedgerStore) -> LedgerStore:
        return self._store(store) if self._store else store


@pytest.mark.parametrize(
    ("rule", "tamper"),
    [
        ("no action without an intent", _Breaks(runtime=_Twice)),
        ("no action without an intent", _Breaks(store=_Lazy)),
        ("what is spared is not touched", _Breaks(database=_Blind)),
        ("unknown evidence never leads to an action", _Breaks(database=_Fearful)),
        ("no budget is exceeded", _Breaks(store=_Forgetful)),
        ("nothing is done while paused", _Breaks(store=_Deaf)),
        ("nothing is done while locked", _Breaks(store=_Deaf)),
        ("each intent gets an outcome", _Breaks(store=_Mute)),
        ("a dry run does nothing", _Breaks(dry_run="enforce")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_observer_sees_it(rule: str, tamper: Tamper) -> None:
    """In one of a few worlds the broken part does its harm, and is caught."""
    seen = []
    for seed in range(SEEDS):
        violation = simulate(Options(seed, 0.5, tamper=tamper)).violation
        if violation is not None:
            seen.append(violation.rule)
            if violation.rule == rule:
                return
    pytest.fail(f"not seen in {SEEDS} worlds; seen instead: {seen}")
