"""Fakes of the ports, for tests: each passes the same contract tests as the real adapters."""

from remediator.testing.clock import FakeClock
from remediator.testing.runtime import FakeRuntime, Reaction

__all__ = ["FakeClock", "FakeRuntime", "Reaction"]
