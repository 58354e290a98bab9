"""Reports of audits as people and programs read them.

HTML is apart (`remediator.render.audit.html`): whoever needs none need not hold a template engine in memory.
"""

from __future__ import annotations

from remediator.render.audit.markdown import audit_markdown
from remediator.render.audit.record import audit_record, read_snapshots
from remediator.render.audit.text import audit_lines

__all__ = ["audit_lines", "audit_markdown", "audit_record", "read_snapshots"]
