"""The ledger on disks that are full, read-only, or do not answer: real file systems, mounted for a test."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.adapters.ledger import SqliteLedger, StateLock
from remediator.core.ledger import Pause
from remediator.core.model import Mode
from remediator.errors import LedgerError
from tests.testbed import disks
from tests.testbed.ledger import NOW, confirmed, incident, intent, terminate

Mount = Callable[..., Path]


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a file system in the test's directory; it is unmounted with the test."""
    with ExitStack() as stack:
        yield lambda *how: stack.enter_context(disks.mounted(tmp_path / "mount", *how))


async def _until_refused(store: SqliteLedger) -> tuple[int, LedgerError]:
    """Record batches until one is refused; tell how many entries were recorded before."""
    for number in range(500):
        try:
            await store.intend(incident(step=number), [intent(terminate(pid)) for pid in range(20)])
        except LedgerError as error:
            return number * 20, error
    pytest.fail("the disk never became full")


async def test_full_disk_refuses_and_is_used_again_when_it_has_room(mount: Mount) -> None:
    """What was recorded stays readable and whole; the same store goes on by itself."""
    state_dir = mount("tmpfs", "-t", "tmpfs", "-o", "size=512k")
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    recorded, error = await _until_refused(store)
    assert "make room" in str(error) or "disk" in str(error)
    assert recorded > 0
    ballast = disks.fill(state_dir)
    with pytest.raises(LedgerError):
        await store.intend(incident(), [intent() for _ in range(200)])
    ballast.unlink()
    _run("mount", "-o", "remount,size=4m", state_dir)
    assert len((await store.load(NOW)).entries) == recorded
    (entry,) = await store.intend(incident(), [intent()])
    await store.conclude([(entry.id, confirmed())])
    assert len((await store.load(NOW)).entries) == recorded + 1
    await store.close()


async def test_disk_full_from_the_start_is_said_and_used_later(mount: Mount) -> None:
    """No half-made file stands in the way of the next attempt."""
    state_dir = mount("tmpfs", "-t", "tmpfs", "-o", "size=64k")
    ballast = disks.fill(state_dir)
    store = SqliteLedger(state_dir, Mode.ENFORCE)
    for _ in range(2):
        with pytest.raises(LedgerError, match=str(state_dir)):
            await store.load(NOW)
    ballast.unlink()
    _run("mount", "-o", "remount,size=4m", state_dir)
    await store.pause(Pause(NOW, None))
    assert (await store.load(NOW)).pause == Pause(NOW, None)
    await store.close()


async def test_read_only_file_system_refuses_and_is_used_again_when_writable(mount: Mount) -> None:
    """Also one that turned read-only while in use, as ext4 does after an error."""
    state_dir = mount("tmpfs", "-t", "tmpfs", "-o", "size=4m")

    def remount(access: str) -> None:
        _run("mount", "-o", f"remount,{access}", state_dir)

    remount("ro")
    store = SqliteLedger(state_dir, Mode.ENFORCE)
    with pytest.raises(LedgerError, match="read-only file system"):
        await store.load(NOW)
    with pytest.raises(LedgerError, match="read-only file system"):
        StateLock.acquire(state_dir, NOW)
    remount("rw")
    entries = await store.intend(incident(), [intent()])
    await store.close()
    remount("ro")
    with pytest.raises(LedgerError):
        await store.intend(incident(), [intent()])
    remount("rw")
    assert (await store.load(NOW)).entries == entries
    await store.close()


async def test_disk_that_hangs_costs_a_deadline_and_is_used_again_when_it_answers(
    mount: Mount, tmp_path: Path
) -> None:
    """A frozen file system blocks every write in the kernel; callers are freed, later ones at once."""
    patience = timedelta(seconds=1)
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    _run("mkfs.ext4", "-q", image)
    state_dir = mount(str(image), "-o", "loop")
    store = SqliteLedger(state_dir, Mode.ENFORCE, deadline=patience)
    await store.save_incident(incident())
    _run("fsfreeze", "--freeze", state_dir)
    try:
        with pytest.raises(LedgerError, match="did not answer within 1s"):
            await store.save_incident(incident(step=1))
        with pytest.raises(LedgerError, match="still has not answered"):
            await store.save_incident(incident(step=2))
    finally:
        _run("fsfreeze", "--unfreeze", state_dir)
    async with asyncio.timeout(30):
        while True:
            try:
                await store.save_incident(incident(step=3))
                break
            except LedgerError:
                await asyncio.sleep(0.05)
    assert (await store.load(NOW)).incidents == (incident(step=3),)
    await store.close()


# Fills the ledger up to a limit on the size of files, then lifts the limit and goes on.
_LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from remediator.adapters.ledger import SqliteLedger
from remediator.core.model import Mode
from remediator.errors import LedgerError
from tests.testbed.ledger import NOW, incident, intent

async def main():
    store = SqliteLedger.open(Path(sys.argv[1]), Mode.ENFORCE)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, most))
    recorded = 0
    while True:
        try:
            await store.intend(incident(), [intent() for _ in range(20)])
        except LedgerError as error:
            print(error)
            break
        recorded += 20
    assert len((await store.load(NOW)).entries) == recorded > 0, recorded
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    await store.intend(incident(), [intent() for _ in range(20)])
    assert len((await store.load(NOW)).entries) == recorded + 20
    await store.close()

asyncio.run(main())
"""


def test_limit_on_the_size_of_files_refuses_and_is_used_again_when_lifted(tmp_path: Path) -> None:
    """The same as a full disk, for users who may not mount one."""
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"ledger {tmp_path}/ledger.db: " in done.stdout
    assert "disk" in done.stdout
