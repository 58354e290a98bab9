"""What the scenarios measured, told at the end of the run."""

from __future__ import annotations

from typing import Protocol

import pytest

_FIGURES = pytest.StashKey[list[tuple[str, str, str]]]()


class Figure(Protocol):
    """Takes note of what a scenario measured."""

    def __call__(self, name: str, value: str) -> None:
        """Note a figure with its unit, for example `("noticed after", "2.1 s")`."""


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Note what a scenario measured; `make faults` prints it, and the table of promises quotes it."""
    noted = request.config.stash.setdefault(_FIGURES, [])
    scenario = request.node.nodeid.removeprefix("tests/faults/")

    def note(name: str, value: str) -> None:
        noted.append((scenario, name, value))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures, one line each."""
    noted = config.stash.get(_FIGURES, [])
    if noted:
        terminalreporter.section("figures")
    for scenario, name, value in noted:
        terminalreporter.write_line(f"{scenario}: {name}: {value}")
