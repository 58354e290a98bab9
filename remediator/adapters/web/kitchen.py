"""Making what is asked for, seldom enough for the checks, which share the event loop, never to notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

FRESH = 1.0
"""Seconds for which what was made is good for everybody who asks for the same."""

_REST = 3.0
_LONGEST_REST = 2.0
_KEPT = 32


class Kitchen:
    """Makes one thing at a time, and rests three times as long as that took: a quarter of a processor."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[float, bytes]] = {}
        self._lock = asyncio.Lock()
        self._rests_until = 0.0

    async def serve(self, key: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Give what was made under this key within the last second, or make it.

        Args:
            key: What tells it from everything else.
            make: Makes it; what it raises is the caller's.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            at, body = self._made.get(key, (0.0, b""))
            if body and loop.time() - at < FRESH:
                return body
            await asyncio.sleep(max(0.0, self._rests_until - loop.time()))
            begun = loop.time()
            try:
                body = await make()
            finally:
                done = loop.time()
                self._rests_until = done + min(_REST * (done - begun), _LONGEST_REST)
            self._made[key] = (done, body)
            while len(self._made) > _KEPT:
                del self._made[next(iter(self._made))]
            return body
