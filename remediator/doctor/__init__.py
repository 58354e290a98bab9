"""Finding out, before it matters, whether everything is there that remediator needs to act."""

from __future__ import annotations

from remediator.doctor.examination import examine
from remediator.doctor.finding import Finding, Grade

__all__ = ["Finding", "Grade", "examine"]
