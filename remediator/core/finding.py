"""What one sample says about one condition."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.model import Evidence, Level, Sample


@dataclass(frozen=True, slots=True)
class Finding:
    """What a sample says about one condition of one level, in a value and in words."""

    level: Level
    condition: str
    evidence: Evidence
    text: str


def why_unknown(sample: Sample) -> str:
    """Why there is no reading, in words."""
    return sample.trouble.detail if sample.trouble else "no reading"
