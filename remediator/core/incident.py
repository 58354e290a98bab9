"""How an incident moves: one function for each thing that can happen to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from remediator.core.ledger import Entry, Incident, Ledger, Phase, Result
from remediator.core.model import Sample
from remediator.core.plan import Act, RestartReplica, StepPlan, TerminateSession
from remediator.core.policy import Remediate

_NOTHING_DONE = frozenset({Result.CHANGED, Result.DROPPED, Result.DENIED, Result.SIMULATED})


def identity_of(database: str, at: datetime) -> str:
    """Name an incident by when it was opened, so that names sort by time."""
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03}-{database}"


def open_incident(identity: str, database: str, sample: Sample, because: str, ladder: str = "") -> Incident:
    """Begin an incident on a sample that confirmed critical, at the foot of a ladder."""
    slots = sample.slots
    return Incident(
        id=identity,
        database=database,
        opened_at=sample.moment.at,
        because=because,
        used=slots.used if slots else None,
        usable=slots.usable if slots else None,
        ladder=ladder,
    )


def due(step: StepPlan) -> tuple[Act, ...]:
    """The acts to carry out together now: all terminations of a step, but one restart at a time."""
    acts = step.acts
    if acts and isinstance(acts[0].action, TerminateSession):
        return acts
    return acts[:1]


def climb(incident: Incident, step: StepPlan) -> Incident:
    """Note that the acts due of a step are about to be carried out.

    The incident stays on the step while acts are left in it, and moves on with the last ones.
    """
    left = len(step.acts) - len(due(step))
    return replace(
        incident,
        phase=Phase.WORKING,
        step=step.index if left else step.index + 1,
        not_before=None,
    )


def settle(incident: Incident, concluded: Sequence[Entry], remediate: Remediate, now: datetime) -> Incident:
    """Note outcomes: once a step is complete, wait before deciding on the next.

    Args:
        incident: The incident.
        concluded: Entries of this incident that have just got their outcome.
        remediate: The ladder.
        now: Time on the ledger's clock.
    """
    if concluded and all(_slipped_away(entry) for entry in concluded):
        # Nothing was done, so nothing has to settle, and the step has its turn again, maybe with others.
        steps = [entry.intent.step for entry in concluded if entry.intent.round == incident.round]
        return replace(incident, step=min([incident.step, *steps]))
    effective = any(e.charged for e in concluded)
    # A restart that is not known to have ended well goes no further, whatever replicas are left.
    complete = any(e.intent.step < incident.step or e.doubtful for e in concluded)
    if effective and complete:
        return replace(incident, not_before=now + remediate.settle)
    return incident


def _slipped_away(entry: Entry) -> bool:
    return entry.dropped or (_changed(entry) and isinstance(entry.intent.action, TerminateSession))


def _changed(entry: Entry) -> bool:
    return entry.outcome is not None and entry.outcome.result is Result.CHANGED


def bounded(incident: Incident, remediate: Remediate, now: datetime) -> Incident:
    """Keep a wait from lasting longer than it was meant to, after the ledger's clock went back.

    What comes back must be kept when it differs, or the wait begins anew with every look.

    Args:
        incident: The incident.
        remediate: The ladder.
        now: Time on the ledger's clock.
    """
    longest = now + (remediate.retry if incident.phase is Phase.HELD else remediate.settle)
    if incident.not_before is None or incident.not_before <= longest:
        return incident
    return replace(incident, not_before=longest)


def begin_anew(incident: Incident) -> Incident:
    """Note that another server answers: what was tried on the one before says nothing about this one."""
    return replace(incident, round=incident.round + 1, step=0, not_before=None)


def on_ladder(incident: Incident, remediate: Remediate) -> Incident:
    """Keep an incident's place on a ladder that was changed by a reload of the config.

    An index means nothing on another ladder: the incident begins a new round at its foot. What was done
    before stays charged, and the count of failed rounds goes on.
    """
    if incident.ladder == remediate.ladder:
        return incident
    known = replace(incident, ladder=remediate.ladder)
    return replace(known, round=incident.round + 1, step=0) if incident.ladder else known


def relieve(incident: Incident, now: datetime) -> Incident:
    """Note that the database is no longer critical and nothing is left to do."""
    return replace(
        incident,
        phase=Phase.RELIEVED,
        relieved_at=incident.relieved_at or now,
        not_before=None,
    )


def exhaust(incident: Incident, ledger: Ledger, remediate: Remediate, now: datetime) -> Incident:
    """Note that every step had its turn and the database is critical still.

    A round in which nothing could be done is simply begun again: the next look may find something; so is
    one in which all that was chosen had changed, once things have settled. A round in which something
    was done, to no avail, failed, and the next one has to wait.

    Args:
        incident: The incident.
        ledger: The ledger.
        remediate: The ladder.
        now: Time on the ledger's clock.
    """
    entries = ledger.of_round(incident)
    if not entries:
        return replace(incident, phase=Phase.HELD, step=0, not_before=None)
    if all(entry.dropped or _changed(entry) for entry in entries):
        soon = now + remediate.settle
        return replace(incident, phase=Phase.HELD, round=incident.round + 1, step=0, not_before=soon)
    acted = any(_acted(entry) for entry in entries)
    return replace(
        incident,
        phase=Phase.HELD,
        round=incident.round + 1,
        step=0,
        failed_rounds=incident.failed_rounds + (1 if acted else 0),
        not_before=now + remediate.retry,
    )


def _acted(entry: Entry) -> bool:
    return entry.outcome is None or entry.outcome.result not in _NOTHING_DONE


def failing_services(incident: Incident, ledger: Ledger, limit: int) -> tuple[str, ...]:
    """List the services that are to be left alone as a round of an incident fails.

    Args:
        incident: The incident in the round that failed.
        ledger: The ledger.
        limit: The number of rounds of the incident in which a service was restarted to no avail, of which
            each multiple locks it once more.
    """
    rounds: dict[str, set[int]] = {}
    for entry in ledger.entries:
        action = entry.intent.action
        if entry.intent.incident == incident.id and isinstance(action, RestartReplica) and _acted(entry):
            rounds.setdefault(action.replica.service, set()).add(entry.intent.round)
    return tuple(sorted(s for s, of in rounds.items() if incident.round in of and len(of) % limit == 0))


def relapse(incident: Incident, *, new_round: bool) -> Incident:
    """Note that relief did not last.

    What brought it did not cure, so the ladder goes on with the next step; once none is left that has
    something to do, a new round begins.
    """
    again = replace(incident, phase=Phase.WORKING, relieved_at=None)
    return replace(again, round=incident.round + 1, step=0) if new_round else again


def close(incident: Incident, now: datetime) -> Incident:
    """End the incident: the critical level has been left."""
    return replace(
        incident,
        phase=Phase.CLOSED,
        relieved_at=incident.relieved_at or now,
        closed_at=now,
        not_before=None,
    )
