"""Making audits: when somebody asks, and by the daemon when they are due."""

from __future__ import annotations

from remediator.auditing.before import last_audits
from remediator.auditing.gather import audit
from remediator.auditing.scheduled import auditing_beside

__all__ = ["audit", "auditing_beside", "last_audits"]
