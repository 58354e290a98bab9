"""Blocking calls to a neighbour that may hang: each in a daemon thread, with a deadline, and only so many."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from remediator.core.text import count, duration
from remediator.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

T = TypeVar("T")


class Calls:
    """Runs blocking calls for asyncio.

    A call that hangs is abandoned at its deadline. Its thread stays until the call returns, but it does not
    keep the process alive, and once a few are overdue no more are made.

    Args:
        peer: Who is called, for messages.
        limit: How many calls may be overdue at once.
    """

    def __init__(self, peer: str, limit: int) -> None:
        self._peer = peer
        self._limit = limit
        self._lock = threading.Lock()
        self._overdue: set[object] = set()

    async def run(self, what: str, function: Callable[[], T], deadline: timedelta) -> T:
        """Run a function in a thread of its own and return what it returns.

        Args:
            what: What the call does, for messages: `list containers`.
            function: Must not touch the event loop. Whatever it raises is raised here.
            deadline: How long to wait for it.

        Raises:
            UnavailableError: The deadline passed, or too many earlier calls are still overdue.
        """
        with self._lock:
            overdue = len(self._overdue)
        if overdue >= self._limit:
            raise UnavailableError(
                f"{self._peer}: cannot {what}: {count(overdue, 'earlier request')} still unanswered"
            )
        call = _Call(function, self._returned)
        try:
            threading.Thread(target=call.work, name=what, daemon=True).start()
        except RuntimeError as error:
            raise UnavailableError(f"{self._peer}: cannot {what}: {error}") from error
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                return await call.answer
        except TimeoutError as error:
            if not call.answer.cancelled():
                raise  # the function's own
            raise UnavailableError(
                f"{self._peer}: cannot {what}: no answer within {duration(deadline)}"
            ) from error
        finally:
            with self._lock:
                if not call.returned:
                    self._overdue.add(call)

    def _returned(self, call: _Call[T]) -> None:
        with self._lock:
            call.returned = True
            self._overdue.discard(call)


class _Call(Generic[T]):
    """One call: runs in its thread, answers in the loop it was made in."""

    def __init__(self, function: Callable[[], T], returned: Callable[[_Call[T]], None]) -> None:
        self._function = function
        self._tell = returned
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[T] = self._loop.create_future()
        self.returned = False

    def work(self) -> None:
        """Call the function and hand its result, or what it raised, to whoever waits."""
        try:
            settle = partial(self._succeed, self._function())
        except Exception as error:  # noqa: BLE001  raised again in the loop
            settle = partial(self._fail, error)
        self._tell(self)
        # The loop is closed when nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)

    def _succeed(self, result: T) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
