"""What is asked for together is made once, and never so often that nothing else gets its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from remediator.adapters.web.kitchen import FRESH, Kitchen
from tests.simulation.virtual import VirtualLoop


def run(main: Coroutine[Any, Any, None]) -> float:
    """Run to the end in virtual time, and tell how long that took."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main)
        return loop.time()
    finally:
        loop.close()


class Cook:
    """Takes so many seconds for each thing, and remembers what it made."""

    def __init__(self, seconds: float) -> None:
        self.made: list[str] = []
        self._seconds = seconds

    def recipe(self, what: str) -> Callable[[], Awaitable[bytes]]:
        """How to make something."""

        async def make() -> bytes:
            await asyncio.sleep(self._seconds)
            self.made.append(what)
            return what.encode()

        return make


def test_a_crowd_gets_what_was_made_for_the_first() -> None:
    """And whoever comes a second later gets it fresh."""
    cook, kitchen = Cook(0.01), Kitchen()

    async def main() -> None:
        bodies = await asyncio.gather(*(kitchen.serve("page", cook.recipe("page")) for _ in range(100)))
        assert set(bodies) == {b"page"}
        assert len(cook.made) == 1
        await asyncio.sleep(FRESH)
        await kitchen.serve("page", cook.recipe("page"))
        assert len(cook.made) == 2

    run(main())


def test_however_much_is_asked_for_it_rests_most_of_the_time() -> None:
    """A hundred different things of 0.1 s each take four times as long as making them would."""
    cook, kitchen = Cook(0.1), Kitchen()

    async def main() -> None:
        await asyncio.gather(*(kitchen.serve(str(n), cook.recipe(str(n))) for n in range(100)))

    assert run(main()) == pytest.approx(100 * 0.1 * 4, rel=0.05)
    assert len(cook.made) == 100


def test_what_failed_is_not_kept_and_harms_nobody_else() -> None:
    """The next one gets what it asked for."""
    kitchen = Kitchen()

    async def fail() -> bytes:
        raise ValueError("burnt")

    async def main() -> None:
        with pytest.raises(ValueError, match="burnt"):
            await kitchen.serve("page", fail)
        assert await kitchen.serve("page", Cook(0.1).recipe("page")) == b"page"

    run(main())
