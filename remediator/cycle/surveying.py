"""Reading what a decision needs beyond the sample, with trouble as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

from remediator.core.attribution import NOBODY, Attribution
from remediator.core.model import (
    Replica,
    Session,
)
from remediator.core.plan import Plan, Survey
from remediator.core.policy import Policy, RestartService, TerminateIdle
from remediator.core.text import duration
from remediator.core.trouble import Trouble, TroubleKind
from remediator.cycle.verifying import read_replicas
from remediator.errors import UnavailableError
from remediator.ports import Database, Runtime

_PROMPT = timedelta(seconds=2)


async def survey(
    database: Database,
    policy: Policy,
    runtimes: Mapping[str, Runtime],
    attribution: Attribution = NOBODY,
    planned: Callable[[Survey], Plan] | None = None,
) -> Survey:
    """Read the sessions and the replicas that the policy's steps are about.

    Args:
        database: Whose sessions.
        policy: Whose steps.
        runtimes: By service.
        attribution: Whose sessions are whose.
        planned: The plan on what is known while a runtime keeps us waiting. When it is the turn of
            terminations, that runtime is not waited for: it counts as unreadable.
    """
    steps = policy.remediate.steps
    names = {step.service for step in steps if isinstance(step, RestartService)}
    reads = {name: asyncio.ensure_future(read_replicas(runtimes.get(name))) for name in sorted(names)}
    try:
        sessions: tuple[Session, ...] | Trouble = ()
        if any(isinstance(step, TerminateIdle) for step in steps):
            sessions = await _read_sessions(database, attribution)
        if reads:
            await asyncio.wait(reads.values(), timeout=_PROMPT.total_seconds())
        if planned is not None and not all(read.done() for read in reads.values()):
            seen = Survey(sessions, {name: _so_far(read) for name, read in reads.items()})
            step = planned(seen).next_step
            if step is not None and isinstance(step.step, TerminateIdle):
                return seen
        return Survey(sessions, {name: await read for name, read in reads.items()})
    finally:
        for read in reads.values():
            read.cancel()


def _so_far(read: asyncio.Future[tuple[Replica, ...] | Trouble]) -> tuple[Replica, ...] | Trouble:
    if read.done():
        return read.result()
    return Trouble(TroubleKind.UNREACHABLE, f"no answer within {duration(_PROMPT)}")


async def _read_sessions(database: Database, attribution: Attribution) -> tuple[Session, ...] | Trouble:
    try:
        return attribution.of_sessions(await database.sessions())
    except UnavailableError as error:
        return Trouble(TroubleKind.UNREACHABLE, str(error))
