"""One daemon per state directory, tried with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from remediator.adapters.ledger import LateLock, StateLock
from remediator.errors import BusyError, LedgerError
from tests.testbed.ledger import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOLDER = """
import sys
from pathlib import Path
from remediator.adapters.ledger import StateLock
from tests.testbed.ledger import NOW

lock = StateLock.acquire(Path(sys.argv[1]), NOW)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def _holder(state_dir: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_second_process_is_told_who_holds_it_and_gets_it_after_kill_9(tmp_path: Path) -> None:
    """Suspended, the holder still holds; killed, it leaves nothing behind that stands in the way."""
    with _holder(tmp_path) as process:
        for signal_before in (0, signal.SIGSTOP):
            process.send_signal(signal_before)
            with pytest.raises(BusyError, match=f"pid {process.pid} on .* since 2031-05-04T03:02:01"):
                StateLock.acquire(tmp_path, NOW)
        process.kill()
        process.wait()
        with StateLock.acquire(tmp_path, NOW) as lock:
            assert lock.held()


def test_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    """Within one process too; releasing twice does no harm, and what was released holds no more."""
    lock = StateLock.acquire(tmp_path, NOW)
    with pytest.raises(BusyError, match=f"pid {os.getpid()} "):
        StateLock.acquire(tmp_path, NOW)
    lock.release()
    lock.release()
    assert not lock.held()
    StateLock.acquire(tmp_path, NOW).release()


def test_removed_lock_file_is_noticed_by_its_holder(tmp_path: Path) -> None:
    """Somebody tidied up: a second daemon could come in, so the first must stop acting."""
    with StateLock.acquire(tmp_path, NOW) as lock:
        (tmp_path / "lock").unlink()
        assert not lock.held()
        with StateLock.acquire(tmp_path, NOW) as other:
            assert other.held()
            assert not lock.held()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b'{"pid": 1}'])
def test_holder_that_left_no_name_is_another_process(tmp_path: Path, content: bytes) -> None:
    """A lock taken a moment ago, or on a full disk, is not signed."""
    with StateLock.acquire(tmp_path, NOW):
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(BusyError, match="in use by another process"):
            StateLock.acquire(tmp_path, NOW)


def test_lock_that_cannot_be_taken_is_an_error_of_its_own(tmp_path: Path) -> None:
    """It does not say that somebody else holds it."""
    with pytest.raises(LedgerError, match="no such file or directory"):
        StateLock.acquire(tmp_path / "nowhere", NOW)
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="lock: "):
        StateLock.acquire(tmp_path, NOW)
    assert not (tmp_path / "elsewhere").exists()


def test_late_lock_is_taken_as_soon_as_it_can_be_had(tmp_path: Path) -> None:
    """A directory that comes late, a holder that goes, a lock file that was removed."""
    state_dir = tmp_path / "state"
    late = LateLock(state_dir, lambda: NOW)
    for _ in range(2):
        with pytest.raises(LedgerError, match="no such file or directory"):
            late.fence()
    state_dir.mkdir()
    with StateLock.acquire(state_dir, NOW) as other:
        with pytest.raises(LedgerError, match=f"in use by pid {os.getpid()} "):
            late.fence()
        with pytest.raises(BusyError):
            late.ensure()
        assert other.held()
    late.fence()
    with pytest.raises(BusyError):
        StateLock.acquire(state_dir, NOW)

    (state_dir / "lock").unlink()
    with StateLock.acquire(state_dir, NOW), pytest.raises(LedgerError, match="in use by"):
        late.fence()
    late.fence()
    with pytest.raises(BusyError):
        StateLock.acquire(state_dir, NOW)
    late.release()
    StateLock.acquire(state_dir, NOW).release()


def test_late_lock_keeps_what_it_has_while_its_directory_is_elsewhere(tmp_path: Path) -> None:
    """Nobody who finds it there may act, and it is still ours when it comes back."""
    state_dir, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    state_dir.mkdir()
    late = LateLock(state_dir, lambda: NOW)
    late.fence()
    state_dir.rename(elsewhere)
    with pytest.raises(LedgerError, match="no such file or directory"):
        late.fence()
    with pytest.raises(BusyError):
        StateLock.acquire(elsewhere, NOW)
    elsewhere.rename(state_dir)
    late.fence()
    late.release()
