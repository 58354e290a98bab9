"""How often the ledger was written to, noted beside it, so that what went missing is noticed."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING
from zlib import crc32

from remediator.adapters.place import create_private
from remediator.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "ledger.mark"


class Mark:
    """The highest revision that the ledger ever had.

    A ledger of a lower revision has lost records: its log was torn, an older copy was put back, or it was
    made anew. Budgets counted from it would be too generous, and a pause or a lock may be missing.

    The mark is written after the records it tells of, and its way to the disk is not waited for: after a
    crash of the machine it can only be too low, which proves nothing.

    Args:
        path: The ledger's path.
    """

    def __init__(self, path: Path) -> None:
        self._ledger = path
        self._path = path.with_name(NAME)
        self._highest = 0
        self._written = -1

    def read(self, *, ledger_is_there: bool) -> None:
        """Read what was noted, by us or by a process before us.

        A mark that cannot be understood is made anew from a ledger that is there.

        Raises:
            LedgerError: There is no ledger although there was one.
            OSError: It cannot be told.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            noted, damaged = 0, False
        else:
            noted, damaged = _understood(content)
        self._written = -1 if damaged else noted
        self._highest = max(self._highest, noted)
        if not ledger_is_there and (self._highest or damaged):
            raise LedgerError(
                f"ledger {self._ledger}: is missing, with all that was done; put it back, or, to begin anew "
                f"with empty budgets, remove {NAME} too and restart remediator"
            )

    def check(self, revision: int) -> None:
        """Compare the ledger with the mark.

        Args:
            revision: The ledger's.

        Raises:
            LedgerError: Records are missing.
        """
        if revision < self._highest:
            raise LedgerError(
                f"ledger {self._ledger}: is of revision {revision}, but there was one of {self._highest}: "
                "the latest records are missing; put the newest copy back, or, to go on with the budgets of "
                f"this one, remove {NAME} and restart remediator"
            )

    def note(self, revision: int) -> None:
        """Note a revision that is durable."""
        self._highest = max(self._highest, revision)
        if not self._highest or self._highest == self._written:
            return
        with suppress(OSError):  # the next one may succeed; until then this process remembers
            create_private(self._path)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                os.pwrite(descriptor, _content(self._highest), 0)
                self._written = self._highest
            finally:
                os.close(descriptor)


def _content(number: int) -> bytes:
    # Always as long, so that on a full disk it is written over without room for more.
    digits = f"{number:020d}"
    return f"{digits} {crc32(digits.encode()):08x}\n".encode()


def _understood(content: bytes) -> tuple[int, bool]:
    """The number, and whether the content is damaged; an empty file was about to be written."""
    if not content:
        return 0, False
    with suppress(ValueError):
        number = int(content[:20])
        if number >= 0 and content == _content(number):
            return number, False
    return 0, True
