"""Reports of audits as people and programs read them. Pure, but for the templates that it comes with."""

from __future__ import annotations

from remediator.render.audit.record import audit_record
from remediator.render.audit.text import audit_lines

__all__ = ["audit_lines", "audit_record"]
