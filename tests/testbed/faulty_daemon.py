"""A daemon that dies or freezes at a named point."""

from __future__ import annotations

from pathlib import Path

from tests.testbed.daemon import Daemon

_ROOT = Path(__file__).parents[2]


class FaultyDaemon(Daemon):
    """The real daemon, told by `faults` where its next starts shall end or freeze; see `crashing`."""

    def begin(self, faults: str, lives: int = 0) -> None:
        """Start it so that it meets these faults; it is not waited for."""
        self.env |= {
            "PYTHONPATH": str(_ROOT),
            "REMEDIATOR_TEST_FAULTS": faults,
            "REMEDIATOR_TEST_LIVES": str(lives),
        }
        self.start(wait=False)

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it; without faults unless `begin` told some."""
        try:
            super().start(*options, wait=wait)
        finally:
            self.env["REMEDIATOR_TEST_FAULTS"] = ""

    def argv(self, *arguments: str) -> list[str]:
        """The program itself, or, for a start with faults, the one with other parts."""
        argv = super().argv(*arguments)
        if self.env.get("REMEDIATOR_TEST_FAULTS"):
            argv[argv.index("remediator")] = "tests.testbed.crashing"
        return argv
