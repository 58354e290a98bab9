"""Tests of the configuration: what is refused, what it comes to, what is published about it."""

from __future__ import annotations
