"""The plan of one restart step: which replicas of the service, in which order, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from remediator.core.assess import only_logins
from remediator.core.culprit import blame
from remediator.core.guards import service_objections, spare_replica
from remediator.core.ledger import Entry, Occasion, service_scope
from remediator.core.model import (
    Exempt,
    Health,
    Replica,
    ReplicaState,
)
from remediator.core.plan import Act, Hold, Objection, Proposal, RestartReplica, StepPlan
from remediator.core.policy import RestartService, When
from remediator.core.situation import Situation
from remediator.core.suspicion import Otherwise
from remediator.core.text import count
from remediator.core.trouble import Trouble

_NO_REPLICA = frozenset({Exempt.ONE_OFF, Exempt.HOOK})
_NEVER = datetime.min.replace(tzinfo=UTC)


def plan_restart(situation: Situation, index: int, step: RestartService) -> StepPlan:
    """Plan a restart step.

    Args:
        situation: The situation.
        index: The step's position on the ladder.
        step: The step.
    """
    replicas = situation.survey.services.get(step.service, ())
    occasion = Occasion(step.service, situation.incident.id, situation.incident.round, index)
    done = situation.ledger.restarted_on(occasion)
    evidence = ""
    # Not again in the middle: a restart would stop half-way because what it has brought about looks innocent.
    if not any(entry.charged for entry in done.values()):
        innocent, evidence = _innocent(situation, step)
        if innocent:
            lock = situation.ledger.lock(service_scope(step.service))
            if lock is not None:  # whoever mends it has to know, whoever is to blame
                innocent, evidence = (*innocent, Objection.SERVICE_LOCKED), f"{evidence}; {lock.reason}"
            left = () if isinstance(replicas, Trouble) else replicas
            holds = tuple(Hold(RestartReplica(replica), innocent, evidence) for replica in left)
            return StepPlan(index, step, proposals=holds, objections=innocent, detail=evidence)
    if isinstance(replicas, Trouble):
        return StepPlan(index, step, objections=(Objection.UNREADABLE,), detail=replicas.detail)
    if not replicas:
        return StepPlan(index, step, objections=(Objection.NOT_FOUND,), detail=step.known_by)
    objections, detail = service_objections(
        occasion, situation.database, situation.ledger, situation.policy.limits, situation.now
    )
    if only_logins(situation.policy, situation.sample):
        objections = (*objections, Objection.LOGINS)
    turn = f"step {index + 1} of {len(situation.policy.remediate.steps)}"
    because = f"{turn}, critical still" if step.when is When.STILL_CRITICAL else f"{turn}, always taken"
    because = f"{because}, {evidence}" if evidence else because
    ids = {e.intent.action.replica.id for e in done.values() if isinstance(e.intent.action, RestartReplica)}
    found: list[Proposal] = []
    for replica in _in_order(replicas, situation.ledger.last_restarts(step.service)):
        action = RestartReplica(replica)
        if replica.name in done or replica.id in ids:  # whether replaced or renamed since
            found.append(Hold(action, (Objection.ALREADY_RESTARTED,)))
            continue
        against, why = spare_replica(replica, situation.policy.limits.min_uptime, situation.sample.moment.at)
        against, why = (*against, *objections), "; ".join(filter(None, (why, detail)))
        if not against:
            against, why = _too_far(situation, replica, replicas, found, done)
        found.append(Hold(action, against, why) if against else Act(action, because))
    return StepPlan(index, step, proposals=tuple(found), objections=objections, detail=detail)


def _innocent(situation: Situation, step: RestartService) -> tuple[tuple[Objection, ...], str]:
    """What speaks for a service that is only to be restarted if it is the culprit, and the evidence."""
    suspicion = step.suspicion
    if suspicion is None:
        return (), ""
    found = blame(situation.policy, suspicion, situation.sample, situation.incident, situation.ledger)
    if found.service == step.service:
        return (), found.text
    if found.service is not None:
        return (Objection.NOT_CULPRIT,), f"held by {found.service}: {found.text}"
    if found.elsewhere:
        return (Objection.HELD_ELSEWHERE,), found.text
    if suspicion.otherwise is Otherwise.IN_ORDER:
        return (), f"no clear culprit ({found.text})"
    return (Objection.NO_CULPRIT,), found.text


def _in_order(replicas: Sequence[Replica], last: Mapping[str, datetime]) -> list[Replica]:
    """Those that are not well first, as nothing is lost by them, then those whose restart is longest ago."""
    return sorted(replicas, key=lambda replica: (_up(replica), last.get(replica.name, _NEVER)))


def _too_far(
    situation: Situation,
    replica: Replica,
    replicas: Sequence[Replica],
    found: Sequence[Proposal],
    done: Mapping[str, Entry],
) -> tuple[tuple[Objection, ...], str]:
    """Say what speaks against one more replica, given those that have their turn before it."""
    acts = (p.action for p in found if isinstance(p, Act))
    before = {action.replica.name for action in acts if isinstance(action, RestartReplica)}
    down = sorted(r.name for r in _siblings(replica, replicas) if not _up(r) and r.name not in before)
    if _up(replica) and down:
        return (Objection.SIBLING_DOWN,), ", ".join(down)
    cap = situation.policy.limits.restart_cap(sum(1 for r in replicas if r.exempt not in _NO_REPLICA))
    if len(before) + sum(1 for entry in done.values() if entry.charged) >= cap:
        return (Objection.STEP_LIMIT,), f"limit {count(cap, 'replica')} per step"
    return (), ""


def _siblings(replica: Replica, replicas: Sequence[Replica]) -> Iterator[Replica]:
    return (r for r in replicas if r.id != replica.id and r.exempt not in _NO_REPLICA)


def _up(replica: Replica) -> bool:
    return replica.state is ReplicaState.RUNNING and replica.health in (Health.NONE, Health.HEALTHY)
