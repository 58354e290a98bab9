"""Whether a restart that was decided on a while ago is still wanted."""

from __future__ import annotations

from remediator.core.assess import Assessment, critical_evidence
from remediator.core.guards import gate
from remediator.core.ledger import Incident, Ledger, Phase, service_scope
from remediator.core.maintenance import Window
from remediator.core.model import Evidence, Level
from remediator.core.plan import Objection
from remediator.core.policy import Policy, RestartService, When

# What the restart itself is the reason of, and its incident's pace.
_ITS_OWN = frozenset({Objection.IN_FLIGHT, Objection.SETTLING, Objection.WAITING})


def second_thoughts(
    database: str,
    policy: Policy,
    assessment: Assessment,
    incident: Incident | None,
    ledger: Ledger,
    maintenance: Window | None,
    step: RestartService,
) -> str:
    """Say what speaks against it now; empty when nothing does.

    Args:
        database: The database for whose sake it was decided.
        policy: The policy.
        assessment: The newest sample, judged.
        incident: The incident it belongs to, None when that is over.
        ledger: The ledger, with the restart's own entry, which is open.
        maintenance: The maintenance window that is in force.
        step: The step it belongs to.
    """
    if incident is None or assessment.level is not Level.CRITICAL:
        return "it is no longer critical"
    sample = assessment.sample
    evidence = critical_evidence(policy, sample, relieved=incident.phase is Phase.RELIEVED)
    found, details = gate(database, sample, evidence, incident, ledger, maintenance, sample.moment.steady)
    objections = [objection for objection in found if objection not in _ITS_OWN]
    if evidence is Evidence.CLEAR and step.when is When.STILL_CRITICAL:
        objections.append(Objection.NOT_NEEDED)
    if ledger.lock(service_scope(step.service)) is not None:
        objections.append(Objection.SERVICE_LOCKED)
    if not objections:
        return ""
    return "; ".join(filter(None, (*(objection.meaning for objection in objections), *details)))
