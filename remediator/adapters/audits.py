"""Audits that are kept: one JSON file each, in a directory of the state directory that only we can read."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from remediator.adapters.place import check_state_dir, create_private, create_private_directory
from remediator.adapters.worker import Worker
from remediator.core.text import one_line
from remediator.errors import LedgerError

_DIRECTORY = "audits"
_NAME = re.compile(r"\d{8}T\d{6}Z\.json")
_FORM = "%Y%m%dT%H%M%SZ"
_MOST = 64 << 20
_WITHIN = timedelta(seconds=30)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A kept audit that cannot be used, and why."""

    path: Path
    because: str


class AuditFiles:
    """The audits in a state directory.

    Args:
        state_dir: The state directory.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._directory = state_dir / _DIRECTORY
        self._worker = Worker(f"audits {self._directory}", _WITHIN, name="audits")

    async def apart(self, work: Callable[[], T]) -> T:
        """Do something with the files in a thread that is abandoned when the disk hangs.

        Raises:
            LedgerError: It took too long, or as the work does.
        """
        return await self._worker.run(work)

    def stop(self) -> None:
        """End that thread."""
        self._worker.stop()

    def last_made(self) -> datetime | None:
        """Tell when the newest kept audit was made, by its name; None without one.

        Raises:
            LedgerError: The directory cannot be read.
        """
        newest = next(self._newest_first(), None)
        return None if newest is None else datetime.strptime(newest.stem, _FORM).replace(tzinfo=UTC)

    def newest(
        self, read: Callable[[Any], T], enough: Callable[[Sequence[T]], bool] = lambda _: True
    ) -> tuple[tuple[T, ...], tuple[Unreadable, ...]]:
        """Read the newest audits that can be read.

        Args:
            read: Makes of the JSON what is wanted, or raises ValueError.
            enough: Whether those that were read will do; by default the newest one does.

        Returns:
            What was read, newest first; and those that were passed over.

        Raises:
            LedgerError: The directory cannot be read.
        """
        found: list[T] = []
        passed: list[Unreadable] = []
        for path in self._newest_first():
            try:
                found.append(read(json.loads(_content(path))))
            except (OSError, ValueError, RecursionError) as error:
                said = error.strerror if isinstance(error, OSError) else str(error)
                passed.append(Unreadable(path, one_line(said or "") or type(error).__name__))
                continue
            if enough(found):
                break
        return tuple(found), tuple(passed)

    def keep(self, record: Mapping[str, Any], at: datetime, keep: int) -> Path:
        """Keep an audit; forget the oldest ones.

        Args:
            record: The audit.
            at: When it was made.
            keep: How many to have at most.

        Raises:
            LedgerError: It cannot be kept.
        """
        check_state_dir(self._state_dir)
        path = self._directory / f"{at.astimezone(UTC).strftime(_FORM)}.json"
        new = path.with_suffix(".new")
        try:
            create_private_directory(self._directory)
            new.unlink(missing_ok=True)
            create_private(new)
            with new.open("w", encoding="utf-8") as file:
                json.dump(record, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise self._failed("keep an audit", error) from error
        for old in list(self._newest_first())[keep:]:
            old.unlink(missing_ok=True)
        return path

    def _newest_first(self) -> Iterator[Path]:
        try:
            found = [path for path in self._directory.iterdir() if _NAME.fullmatch(path.name)]
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed("read", error) from error
        yield from sorted(found, reverse=True)

    def _failed(self, what: str, error: OSError) -> LedgerError:
        return LedgerError(f"audits {self._directory}: cannot {what}: {error.strerror or error}")


def _content(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is not a regular file")
        if status.st_size > _MOST:
            raise ValueError("is too large to be an audit")
        return file.read()
