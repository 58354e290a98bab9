"""Each invariant can fail: what the daemon stands on is broken, one thing at a time, and it is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from remediator.core.culprit import Blame
from remediator.core.directory import Directory
from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Intent, Ledger
from remediator.core.model import (
    Moment,
    Probe,
    ProbeResult,
    Replica,
    Sample,
    Session,
    SessionGroup,
    SessionId,
)
from remediator.core.policy import Policy
from remediator.core.suspicion import Suspicion
from remediator.ports import NO_STARTS, Database, Directories, LedgerStore, Receipt, Runtime
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


class _Hasty(_Through):
    async def restart(self, replica: Replica) -> Receipt:
        first, _ = await asyncio.gather(self.inner.restart(replica), self.inner.restart(replica))
        receipt: Receipt = first
        return receipt


class _Insistent(_Through):
    async def terminate(self, sessions: Sequence[Session], older_than: timedelta) -> tuple[Receipt, ...]:
        receipts: tuple[Receipt, ...] = await self.inner.terminate(sessions, older_than)
        await self.inner.terminate(sessions, older_than)
        return receipts


class _Rosy(_Through):
    async def alive(self, *_: object) -> frozenset[SessionId]:
        """All of them are gone, without a look."""
        return frozenset()


def _unclaimed(database: Any) -> Any:
    database.inner.claim.wanted = False  # the right to act is neither asked for nor heeded
    return database


class _Rude(_Through):
    async def replicas(self) -> tuple[Replica, ...]:
        raise KeyError("Labels")


class _Proud(_Through):
    async def replicas(self) -> tuple[Replica, ...]:
        return tuple(replace(replica, exempt=None) for replica in await self.inner.replicas())


class _Amnesiac(_Through):
    async def load(self, since: datetime) -> Ledger:
        ledger: Ledger = await self.inner.load(since)
        return replace(ledger, incidents=())


class _Clinging(_Through):
    async def save_incident(self, incident: Incident) -> None:
        if incident.closed_at is None:
            await self.inner.save_incident(incident)


class _Whispering(_Through):
    def emit(self, event: Event, **fields: object) -> None:
        if event not in {Event.INCIDENT_HELD, Event.INCIDENT_SUSPENDED, Event.LOCKED}:
            self.inner.emit(event, **fields)


class _Breaks(Tamper):
    """Puts broken things in the place of whole ones."""

    def __init__(self, **parts: Callable[[Any], Any]) -> None:
        self._parts = parts

    def config(self, text: str) -> str:
        config = yaml.safe_load(text)
        return yaml.safe_dump(self._broken("config", config))

    def database(self, database: Database) -> Database:
        broken: Database = self._broken("database", database)
        return broken

    def runtime(self, runtime: Runtime) -> Runtime:
        broken: Runtime = self._broken("runtime", runtime)
        return broken

    def directory(self, directory: Directories) -> Directories:
        broken: Directories = self._broken("directory", directory)
        return broken

    def store(self, store: LedgerStore) -> LedgerStore:
        broken: LedgerStore = self._broken("store", store)
        return broken

    def witness(self, witness: Any) -> Any:
        return self._broken("witness", witness)

    def _broken(self, part: str, whole: Any) -> Any:
        return self._parts.get(part, lambda same: same)(whole)


def _enforcing(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"mode": "enforce"}


class _Confused(_Through):
    async def read(self) -> Directory:
        """Who lives where, each service by the name of another."""
        found: Directory = await self.inner.read()
        names = sorted({tenant.service for tenant in found.tenants if tenant.service})
        other = dict(zip(names, names[1:] + names[:1], strict=True))
        tenants = tuple(replace(t, service=other.get(t.service or "")) for t in found.tenants)
        return replace(found, tenants=tenants)


def _unlimited(of: str, **limits: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Edits each policy's limits of what is terminated, or restarted."""

    def edit(config: dict[str, Any]) -> dict[str, Any]:
        for policy in config["policies"]:
            policy.setdefault("limits", {}).setdefault(of, {}).update(deepcopy(limits))
        return config

    return edit


def _ceaseless(config: dict[str, Any]) -> dict[str, Any]:
    for policy in config["policies"]:
        policy["maintenance"] = []
    return config


@pytest.mark.parametrize(
    ("rule", "tamper", "first"),
    [
        ("no action without an intent", _Breaks(runtime=_Twice), 4),
        ("no action without an intent", _Breaks(store=_Lazy), 4),
        ("nothing is done twice for one intent", _Breaks(database=_Insistent), 10),
        ("what is spared is not touched", _Breaks(database=_Blind), 9),
        ("what has opted out is left alone", _Breaks(runtime=_Proud), 1),
        ("unknown evidence never leads to an action", _Breaks(database=_Fearful), 16),
        ("no budget is exceeded", _Breaks(store=_Forgetful), 11),
        ("no step exceeds its cap", _Breaks(config=_unlimited("terminate", per_step="100%")), 5),
        ("no step exceeds its cap", _Breaks(config=_unlimited("restart", per_step="100%")), 29),
        (
            "a step that wants too much is not taken",
            _Breaks(config=_unlimited("terminate", abort_above=[])),
            26,
        ),
        ("one action in flight for each service", _Breaks(runtime=_Hasty), 0),
        ("only one of two acts", _Breaks(database=_unclaimed), 4),
        ("nothing is done while paused", _Breaks(store=_Deaf), 7),
        ("nothing is done while locked", _Breaks(store=_Deaf), 9),
        ("nothing is done in a maintenance window", _Breaks(config=_ceaseless), 26),
        ("each intent gets an outcome", _Breaks(store=_Mute), 1),
        ("an outcome is true", _Breaks(database=_Rosy), 13),
        ("one incident at a time, closed for good", _Breaks(store=_Amnesiac), 0),
        ("somebody is told", _Breaks(witness=_Whispering), 5),
        ("every incident ends", _Breaks(store=_Clinging), 0),
        ("only who leaks is restarted", _Breaks(directory=_Confused), 0),
        ("no cycle fails", _Breaks(runtime=_Rude), 0),
        ("a dry run does nothing", _Breaks(config=_enforcing), 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_observer_sees_it(rule: str, tamper: Tamper, first: int) -> None:
    """In one of a few worlds, from one on where it was seen, the broken part does its harm, and is caught."""
    seen = []
    for seed in range(first, first + SEEDS):
        violation = simulate(Options(seed, 0.5, tamper=tamper)).violation
        if violation is not None:
            seen.append(violation.rule)
            if violation.rule == rule:
                return
    pytest.fail(f"not seen in {SEEDS} worlds; seen instead: {seen}")


def _first_suspect(_: Policy, suspicion: Suspicion, *__: object) -> Blame:
    return Blame(suspicion.among[0], "whoever comes first")


def _busy_is_leaked(_: Policy, __: timedelta, sample: Sample) -> tuple[SessionGroup, ...]:
    return sample.groups


@pytest.mark.parametrize(
    ("place", "broken", "first"),
    [
        ("remediator.core.restarting.blame", _first_suspect, 12),
        ("remediator.core.culprit.leaked_groups", _busy_is_leaked, 45),
    ],
)
def test_a_culprit_wrongly_named_is_seen(
    place: str, broken: Callable[..., object], first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what the judgement stands on is broken here, but the judgement."""
    monkeypatch.setattr(place, broken)
    seen = (simulate(Options(seed, 0.5)).violation for seed in range(first, first + SEEDS))
    assert any(
        violation is not None and violation.rule == "only who leaks is restarted" for violation in seen
    )
