"""`remediator demo`: a PostgreSQL, services that leak, and the real daemon that relieves it."""

from __future__ import annotations
