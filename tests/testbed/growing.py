"""A log of JSON lines that grows, each line of it read once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class GrowingLog:
    """What a file says so far; another file of the same name is read from its beginning.

    Tests look every few milliseconds: reading all of it each time would take the processor from the daemon.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], dict[str, Any]]) -> None:
        """Read nothing yet; the file need not exist.

        Args:
            path: The file.
            parse: Makes a record of a whole line.
        """
        self._path = path
        self._parse = parse
        self._inode = 0
        self._read = 0
        self._records: list[dict[str, Any]] = []

    def records(self) -> list[dict[str, Any]]:
        """The records of every whole line.

        Raises:
            ValueError: A line cannot be parsed; it will be raised again the next time.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._read:
                self._inode, self._read, self._records = found.st_ino, 0, []
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._records += [self._parse(line) for line in whole.split(b"\n")]
            self._read += len(whole) + 1
        return list(self._records)
