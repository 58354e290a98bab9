"""What one assessment comes to for somebody who just asks."""

from __future__ import annotations

from remediator.core.assess import Assessment
from remediator.core.finding import texts
from remediator.core.model import Evidence, Level


def shown_level(assessment: Assessment) -> Level:
    """The level that one sample alone suggests: no dwell time has to pass for somebody who just asks."""
    return max(assessment.level, assessment.pending or Level.NORMAL)


def shown_unknown(assessment: Assessment) -> bool:
    """Whether the level might be higher than the shown one."""
    level = shown_level(assessment)
    return any(e is Evidence.UNKNOWN for at, e in assessment.evidence.items() if at > level)


def verdict(assessment: Assessment) -> str:
    """The shown level's name, or `unknown`."""
    return "unknown" if shown_unknown(assessment) else shown_level(assessment).label


def reasons(assessment: Assessment) -> list[str]:
    """Why the verdict is what it is, most telling first."""
    wanted = Evidence.UNKNOWN if shown_unknown(assessment) else Evidence.BREACH
    level = shown_level(assessment)
    found = [
        f
        for f in assessment.findings
        if f.evidence is wanted and (wanted is Evidence.UNKNOWN or f.level is level)
    ]
    found = found or [f for f in assessment.findings if f.level is Level.CRITICAL]
    return texts(found, assessment.sample)
