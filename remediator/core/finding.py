"""What one sample says about one condition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remediator.core.model import Evidence, Level, Sample


@dataclass(frozen=True, slots=True)
class Finding:
    """What a sample says about one condition of one level, in a value and in words."""

    level: Level
    condition: str
    evidence: Evidence
    text: str


def texts(findings: Iterable[Finding], sample: Sample) -> list[str]:
    """Say findings on a sample, each fact once.

    A server that cannot be read leaves nearly every condition unknown, all for one reason.
    """
    why = why_unknown(sample)
    unread = f": {why}"
    said = (
        f"the server cannot be read{unread}"
        if finding.evidence is Evidence.UNKNOWN and finding.text.endswith(unread)
        else finding.text
        for finding in findings
    )
    return list(dict.fromkeys(said))


def why_unknown(sample: Sample) -> str:
    """Why there is no reading, in words."""
    return sample.trouble.detail if sample.trouble else "no reading"
