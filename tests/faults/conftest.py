"""Noting what the scenarios measured."""

from __future__ import annotations

from typing import Protocol

import pytest

from tests.testbed.figures import FIGURE


class Figure(Protocol):
    """Takes note of what a scenario measured."""

    def __call__(self, name: str, value: str) -> None:
        """Note a figure with its unit, for example `("noticed after", "2.1 s")`."""


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Note what a scenario measured; `make faults` prints it, and the table of promises quotes it."""

    def note(name: str, value: str) -> None:
        request.node.user_properties.append((FIGURE, f"{name}: {value}"))

    return note
