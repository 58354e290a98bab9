"""Reading what a decision needs beyond the sample, with trouble as a value."""

from __future__ import annotations

from collections.abc import Mapping

from remediator.core.model import Session, Trouble, TroubleKind
from remediator.core.plan import Survey
from remediator.core.policy import Policy, RestartService, TerminateIdle
from remediator.cycle.verifying import read_replicas
from remediator.errors import UnavailableError
from remediator.ports import Database, Runtime


async def survey(database: Database, policy: Policy, runtimes: Mapping[str, Runtime]) -> Survey:
    """Read the sessions and the replicas that the policy's steps are about."""
    steps = policy.remediate.steps
    sessions: tuple[Session, ...] | Trouble = ()
    if any(isinstance(step, TerminateIdle) for step in steps):
        sessions = await _read_sessions(database)
    names = {step.service for step in steps if isinstance(step, RestartService)}
    services = {name: await read_replicas(runtimes.get(name)) for name in sorted(names)}
    return Survey(sessions, services)


async def _read_sessions(database: Database) -> tuple[Session, ...] | Trouble:
    try:
        return await database.sessions()
    except UnavailableError as error:
        return Trouble(TroubleKind.UNREACHABLE, str(error))
