"""Fakes of the ports, for tests: each passes the same contract tests as the real adapters."""

from __future__ import annotations

from remediator.testing.clock import FakeClock
from remediator.testing.database import FakeDatabase
from remediator.testing.runtime import FakeRuntime, Reaction
from remediator.testing.session import FakeSession

__all__ = ["FakeClock", "FakeDatabase", "FakeRuntime", "FakeSession", "Reaction"]
