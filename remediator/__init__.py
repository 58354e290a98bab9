"""Watches PostgreSQL connection slots and relieves them, carefully, when they run out."""

from __future__ import annotations

__version__ = "0.1.0"
