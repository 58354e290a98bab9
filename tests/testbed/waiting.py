"""Waiting for something in the world to come true."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(
    condition: Callable[[], bool], *, what: str, within: float = 30.0, every: float = 0.02
) -> None:
    """Return as soon as the condition holds.

    Args:
        condition: Asked again and again; its exceptions are the caller's.
        what: What is waited for, for the message.
        within: The deadline, in seconds; generous, it is only reached when something is broken.
        every: The pause between two looks, in seconds.

    Raises:
        TimeoutError: The condition did not hold in time.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within:g} s")
        time.sleep(every)
