"""Callers of the ledger's thread are freed at their deadline, and what they gave up is not begun."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from remediator.adapters.worker import Worker
from remediator.errors import LedgerError

SOON = timedelta(milliseconds=20)
LONG = timedelta(seconds=60)


def _fail() -> None:
    raise KeyError("what went wrong")


async def test_results_and_errors_are_the_jobs_own() -> None:
    """The thread is only where it happens."""
    worker = Worker("ledger", LONG)
    assert await worker.run(lambda: 42) == 42
    with pytest.raises(KeyError, match="what went wrong"):
        await worker.run(_fail)
    names = {await worker.run(lambda: threading.current_thread().name) for _ in range(3)}
    assert names == {"ledger"}
    worker.stop()


def test_blocking_callers_have_the_same_deadline() -> None:
    """Outside of an event loop too, waiting ends."""
    worker, answer = Worker("ledger x", SOON), threading.Event()
    with pytest.raises(LedgerError, match="ledger x: the disk did not answer within 0s"):
        worker.run_blocking(answer.wait)
    with pytest.raises(LedgerError, match="still has not answered"):
        worker.run_blocking(lambda: None)
    answer.set()
    worker.stop()


async def test_stopped_worker_starts_again_when_used() -> None:
    """Its thread ends with what it was given, and another one takes its place."""
    worker = Worker("ledger", LONG)
    first = await worker.run(threading.current_thread)
    worker.stop()
    worker.stop()
    first.join(timeout=60)
    assert not first.is_alive()
    assert await worker.run(threading.current_thread) is not first
    worker.stop()


async def test_job_whose_caller_gave_up_is_not_begun() -> None:
    """A record that nobody waits for any more must not appear later."""
    worker, answer, done = Worker("ledger", LONG), threading.Event(), []
    first = asyncio.create_task(worker.run(answer.wait))
    second = asyncio.create_task(worker.run(lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    answer.set()
    assert await first
    await worker.run(lambda: done.append("third"))
    assert done == ["third"]
    worker.stop()
