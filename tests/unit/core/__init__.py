"""Tests of the pure core, table by table."""

from __future__ import annotations
