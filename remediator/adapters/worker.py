"""One thread for all that may block on the disk, and callers that never wait for it longer than agreed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from remediator.core.text import duration
from remediator.errors import LedgerError, RemediatorError

if TYPE_CHECKING:
    from datetime import timedelta

_T = TypeVar("_T")
_Jobs = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]

# A deadline is waited for in so many parts: of the time that all of the process was suspended, whatever the
# disk did, no more than one part is held against the disk.
_PARTS = 10


class Worker:
    """Runs jobs one after the other in a thread of its own.

    The thread is a daemon thread, so that a disk that hangs cannot keep the process from ending. A job
    whose caller gave up is not begun any more; one that had begun may still take effect.

    Args:
        what: What the jobs work on, for messages.
        deadline: How long a caller waits, from asking to the answer, while the process is running.
        error: What is raised where there is no answer.
        name: The thread's.
    """

    def __init__(
        self,
        what: str,
        deadline: timedelta,
        *,
        error: type[RemediatorError] = LedgerError,
        name: str = "ledger",
    ) -> None:
        self._what = what
        self._error = error
        self._name = name
        self._deadline = deadline
        self._part = deadline.total_seconds() / _PARTS
        self._jobs: _Jobs | None = None
        self._overdue: Future[Any] | None = None

    async def run(self, job: Callable[[], _T]) -> _T:
        """Run a job and return what it returns.

        Raises:
            RemediatorError: No answer before the deadline, or an earlier job still has not answered.
        """
        future = self._submit(job)
        answer = asyncio.wrap_future(future)
        try:
            for _ in range(_PARTS):
                await asyncio.wait((answer,), timeout=self._part)
                if future.done():
                    return future.result()
        finally:
            future.cancel()
            answer.cancel()  # nobody asks for the error of a job that goes on without its caller
        raise self._late(future)

    def run_blocking(self, job: Callable[[], _T]) -> _T:
        """Run a job like `run`, for callers outside of an event loop."""
        future = self._submit(job)
        for _ in range(_PARTS):
            wait((future,), timeout=self._part)
            if future.done():
                return future.result()
        future.cancel()
        raise self._late(future)

    def stop(self) -> None:
        """End the thread once it has done what it was given; a later job starts another one."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            jobs.put(None)

    def _submit(self, job: Callable[[], _T]) -> Future[_T]:
        if self._overdue is not None and not self._overdue.done():
            raise self._error(f"{self._what}: the disk still has not answered an earlier request")
        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True).start()
        future: Future[_T] = Future()
        self._jobs.put((future, job))
        return future

    def _late(self, future: Future[Any]) -> RemediatorError:
        self._overdue = future
        return self._error(f"{self._what}: the disk did not answer within {duration(self._deadline)}")


def _work(jobs: _Jobs) -> None:
    while (work := jobs.get()) is not None:
        future, job = work
        if future.set_running_or_notify_cancel():
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001  it is raised where the job was asked for
                future.set_exception(error)
            else:
                future.set_result(result)
        del work, future, job
