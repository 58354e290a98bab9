"""What the notifier's thread is given to do; giving never waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Inbox(Generic[_T]):
    """A queue from many threads to one, in which what may be left out cannot crowd out what must not.

    Args:
        most: Items that may wait before more are left out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[_T] = deque()
        self._left_out = 0
        self._changed = threading.Condition()

    def put(self, item: _T, *, always: bool = False) -> bool:
        """Add an item, unless there are too many; tell whether it was added.

        Args:
            item: The item.
            always: Add it however many there are.
        """
        with self._changed:
            if len(self._items) >= self._most and not always:
                self._left_out += 1
                return False
            self._items.append(item)
            self._changed.notify()
            return True

    def get(self, seconds: float) -> list[_T]:
        """Wait for items, for at most so long, and take all that there are."""
        end = time.monotonic() + min(seconds, threading.TIMEOUT_MAX)
        with self._changed:
            while not self._items:
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            taken = list(self._items)
            self._items.clear()
            return taken

    @property
    def waits(self) -> bool:
        """Whether anything waits."""
        with self._changed:
            return bool(self._items)

    def left_out(self) -> int:
        """Tell how many items were left out since this was asked last."""
        with self._changed:
            number, self._left_out = self._left_out, 0
            return number
