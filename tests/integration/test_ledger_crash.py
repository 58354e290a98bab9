"""The ledger after processes that were killed and after writes that were torn."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.core.ledger import Entry
from remediator.core.model import Mode
from remediator.errors import LedgerError
from tests.testbed.ledger import NOW, incident, intent, terminate

# Records intents and outcomes as fast as it can; says what is recorded only once it is.
_RECORDER = """
import asyncio, sys
from itertools import count
from pathlib import Path
from remediator.adapters.ledger import SqliteLedger
from remediator.core.model import Mode
from tests.testbed.ledger import NOW, confirmed, incident, intent, terminate

async def main():
    store = SqliteLedger.open(Path(sys.argv[1]), Mode.ENFORCE)
    for number in count():
        size = number % 7 + 1
        entries = await store.intend(incident(step=number), [intent(terminate(pid)) for pid in range(size)])
        print("intended", *(entry.id for entry in entries), flush=True)
        await store.conclude([(entry.id, confirmed()) for entry in entries])
        print("concluded", *(entry.id for entry in entries), flush=True)

asyncio.run(main())
"""


def _acknowledged(output: str, what: str) -> set[int]:
    # The last line may be cut off by the kill; then it promised nothing.
    lines = [line for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {int(number) for line in lines if line.startswith(what) for number in line.split()[1:]}


def _run_until_killed(program: str, state_dir: Path, after: float) -> str:
    """Start a program, kill it this many seconds after its first line, return what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(state_dir)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    return first + rest


async def _entries(state_dir: Path) -> tuple[Entry, ...]:
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    ledger = await store.load(NOW)
    await store.close()
    return ledger.entries


async def test_nothing_recorded_is_lost_to_kill_9(tmp_path: Path) -> None:
    """Twenty-five times in the same ledger: what was acknowledged is there, batches are whole."""
    chance = random.Random(9)  # noqa: S311  when to kill, not a secret
    intended: set[int] = set()
    concluded: set[int] = set()
    for _ in range(25):
        output = await asyncio.to_thread(_run_until_killed, _RECORDER, tmp_path, chance.uniform(0, 0.08))
        intended |= _acknowledged(output, "intended")
        concluded |= _acknowledged(output, "concluded")
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        entries = await _entries(tmp_path)
        assert intended <= {entry.id for entry in entries}
        assert concluded <= {entry.id for entry in entries if entry.outcome is not None}
        pids = [entry.intent.action.session.id.pid for entry in entries]  # type: ignore[union-attr]
        assert _is_whole_batches(pids)
    assert len(concluded) > 25


def _is_whole_batches(pids: list[int]) -> bool:
    """Each batch counts its sessions from 0 and is one longer than the one before, up to seven.

    A process that was killed began again with a batch of one.
    """
    starts = [index for index, pid in enumerate(pids) if pid == 0] + [len(pids)]
    sizes = [end - start for start, end in itertools.pairwise(starts)]
    return all(after in (1, before % 7 + 1) for before, after in itertools.pairwise(sizes))


# Makes one ledger after the other, each in a new directory.
_CREATOR = """
import sys
from itertools import count
from pathlib import Path
from remediator.adapters.ledger import SqliteLedger
from remediator.core.model import Mode

print("begun", flush=True)
for number in count():
    state_dir = Path(sys.argv[1]) / str(number)
    state_dir.mkdir()
    SqliteLedger.open(state_dir, Mode.ENFORCE)
"""


async def test_first_start_that_is_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """Wherever the creation was stopped, the next start has a ledger that takes records."""
    chance = random.Random(14)  # noqa: S311  when to kill, not a secret
    for attempt in range(15):
        base = tmp_path / str(attempt)
        base.mkdir()
        await asyncio.to_thread(_run_until_killed, _CREATOR, base, chance.uniform(0, 0.06))
        for state_dir in base.iterdir():
            store = SqliteLedger.open(state_dir, Mode.ENFORCE)
            await store.intend(incident(), [intent()])
            assert len((await store.load(NOW)).entries) == 1
            await store.close()
            assert {path.name for path in state_dir.iterdir()} == {"ledger.db", "ledger.mark"}


@pytest.fixture
async def torn(tmp_path: Path) -> Path:
    """A state directory as a crash leaves it: forty transactions, all of them in the write-ahead log only."""
    (tmp_path / "live").mkdir()
    store = SqliteLedger.open(tmp_path / "live", Mode.ENFORCE)
    for number in range(40):
        await store.intend(incident(step=number), [intent(terminate(number))])
    shutil.copytree(tmp_path / "live", tmp_path / "crashed", ignore=shutil.ignore_patterns("*-shm"))
    await store.close()
    return tmp_path / "crashed"


async def test_torn_log_gives_the_transactions_before_the_tear(torn: Path, tmp_path: Path) -> None:
    """Wherever the log ends, or from wherever it is rubbish: a prefix of what was recorded.

    The mark tells that some are missing: nothing is done, and nothing touched, until a person removes it.
    """
    chance = random.Random(15)  # noqa: S311  where to tear, not a secret
    whole = (torn / "ledger.db-wal").stat().st_size
    found = set()
    for attempt, position in enumerate([0, 31, whole, *(chance.randrange(whole) for _ in range(20))]):
        state_dir = tmp_path / f"attempt{attempt}"
        shutil.copytree(torn, state_dir)
        with (state_dir / "ledger.db-wal").open("r+b") as log:
            log.truncate(position)
            if attempt % 2:
                log.seek(position)
                log.write(chance.randbytes(whole - position))
        if attempt != 2:
            with pytest.raises(LedgerError, match="there was one of 40"):
                await _entries(state_dir)
        (state_dir / "ledger.mark").unlink()
        entries = await _entries(state_dir)
        pids = [entry.intent.action.session.id.pid for entry in entries]  # type: ignore[union-attr]
        assert pids == list(range(len(pids)))
        found.add(len(pids))
        store = SqliteLedger.open(state_dir, Mode.ENFORCE)
        await store.intend(incident(), [intent()])
        assert len((await store.load(NOW)).entries) == len(pids) + 1
        await store.close()
    assert {0, 40} < found
