"""The time that our process is suspended, or its machine stands still, is not held against the disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from tests.testbed.daemon import ended

SUSPENDED = 5.5  # longer than the deadline
PROGRAM = """
import asyncio, sys, time
from datetime import timedelta
from remediator.adapters.worker import Worker

def job():
    print("begun", flush=True)
    for _ in range(10):
        time.sleep(0.05)
    return "kept"

worker = Worker("ledger", timedelta(seconds=5))
print(asyncio.run(worker.run(job)) if sys.argv[1] == "run" else worker.run_blocking(job))
"""


def test_a_job_that_is_suspended_with_its_caller_is_waited_for() -> None:
    """A daemon that was stopped in the middle of a record does not call the ledger unavailable."""
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, how], stdout=subprocess.PIPE, text=True)
        for how in ("run", "run_blocking")
    ]
    with ended(processes[0]), ended(processes[1]):
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGSTOP)
        time.sleep(SUSPENDED)
        for process in processes:
            process.send_signal(signal.SIGCONT)
        answers = [process.communicate(timeout=60)[0] for process in processes]
    assert answers == ["kept\n", "kept\n"]
