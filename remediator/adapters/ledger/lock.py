"""One daemon per state directory, by a lock that the kernel takes back when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from remediator.adapters.place import check_state_dir, create_private, explain
from remediator.core.times import instant
from remediator.errors import BusyError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType


class StateLock:
    """Held from `acquire` until `release` or the end of the process, however it ends.

    Also a context manager, which releases it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, state_dir: Path, at: datetime) -> Self:
        """Take the lock, or fail at once.

        Args:
            state_dir: The state directory; must exist and belong to the user we run as.
            at: When we started, told to whoever wants the lock while we have it.

        Raises:
            BusyError: Another process has it; the message says which.
            LedgerError: The lock file cannot be used.
        """
        check_state_dir(state_dir)
        path = state_dir / "lock"
        try:
            descriptor = _open(path)
        except OSError as error:
            raise LedgerError(f"lock {path}: {explain(error)}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise BusyError(
                    f"state directory {state_dir}: in use by {holder}; only one daemon may act on it: "
                    "stop that one, or set another state_dir"
                ) from error
            raise LedgerError(f"lock {path}: {_said(error)}; use a file system with locks") from error
        lock = cls(path, descriptor)
        if not lock.held():
            lock.release()
            raise BusyError(f"lock {path}: was removed while it was being taken; try again")
        _sign(descriptor, at)
        return lock

    def held(self) -> bool:
        """Tell whether the lock still excludes others: not once somebody removed or replaced its file."""
        try:
            ours, there = os.fstat(self._descriptor), self._path.lstat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def release(self) -> None:
        """Let others have it; doing so twice does no harm. The file stays: removing it would let two in."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class LateLock:
    """The lock of a state directory that may not be usable yet: taken as soon as it can be had.

    Args:
        state_dir: The state directory.
        clock: Tells when it is taken.
    """

    def __init__(self, state_dir: Path, clock: Callable[[], datetime]) -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._lock: StateLock | None = None

    def ensure(self) -> None:
        """Make sure that we hold the lock that is there now; take it if we do not.

        What we hold is kept until then: whoever finds its file elsewhere must not get it.

        Raises:
            BusyError: Another process has it.
            LedgerError: The state directory cannot be used.
        """
        if self._lock is not None and self._lock.held():
            return
        new = StateLock.acquire(self._state_dir, self._clock())
        self.release()
        self._lock = new

    def fence(self) -> None:
        """Make sure that we hold the lock before anything is done.

        Raises:
            LedgerError: We do not, and cannot take it now.
        """
        try:
            self.ensure()
        except BusyError as error:
            raise LedgerError(str(error)) from error

    def release(self) -> None:
        """Let others have it, if we have it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


def _open(path: Path) -> int:
    create_private(path)
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW)


def _sign(descriptor: int, at: datetime) -> None:
    signature = {"pid": os.getpid(), "host": socket.gethostname(), "since": instant(at)}
    # On a full disk the lock holds all the same, only others will not be told who holds it.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(signature).encode() + b"\n", 0)


def _holder(descriptor: int) -> str:
    try:
        signature = json.loads(os.pread(descriptor, 4096, 0))
        return f"pid {signature['pid']} on {signature['host']} since {signature['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
