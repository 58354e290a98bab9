"""What the scenarios of a run measured, gathered from whichever process ran them, told at its end."""

from __future__ import annotations

import pytest

FIGURE = "figure"
"""The property that a figure is of its test: properties travel with the test's report."""


class Figures:
    """A pytest plugin that gathers the figures from the reports."""

    def __init__(self) -> None:
        self._noted: list[tuple[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what a scenario noted, once it is over."""
        if report.when != "teardown":
            return
        file, _, name = report.location
        scenario = f"{file.removeprefix('tests/faults/')}::{name}"
        self._noted += [(scenario, str(told)) for kind, told in report.user_properties if kind == FIGURE]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the figures, one line each."""
        if self._noted:
            terminalreporter.section("figures")
        for scenario, told in sorted(self._noted, key=lambda noted: noted[0]):
            terminalreporter.write_line(f"{scenario}: {told}")
