"""The ledger's file: created with care, shared between processes, never overwritten when not understood."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.adapters.ledger.creation import create
from remediator.core.ledger import Ledger, Lock, Pause
from remediator.core.model import Mode
from remediator.errors import LedgerError
from tests.testbed.ledger import DAY, NOW, confirmed, incident, intent, terminate
from tests.testbed.missing import missing

_NOBODY = 65534


@pytest.fixture
def shared_dir() -> Iterator[Path]:
    """A state directory of root's that other users can reach."""
    if os.geteuid() != 0:
        missing("only root can become another user")
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def _contents(state_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in state_dir.iterdir() if path.is_file()}


async def _filled(state_dir: Path, entries: int = 3) -> None:
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    await store.intend(incident(), [intent(terminate(pid)) for pid in range(1, entries + 1)])
    await store.close()


async def _pids(state_dir: Path) -> list[int]:
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    ledger = await store.load(NOW)
    await store.close()
    return [entry.intent.action.session.id.pid for entry in ledger.entries]  # type: ignore[union-attr]


async def test_file_is_private_and_durable(tmp_path: Path) -> None:
    """Only the owner may read who was terminated; a commit returns once it has reached the disk."""
    await _filled(tmp_path)
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    # No death of a process shows a write that only the kernel had: what SQLite was told must do.
    assert await store._write(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (2,)  # noqa: SLF001
    await store.close()
    path = tmp_path / "ledger.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM entry").fetchone() == (3,)


async def test_modes_have_records_and_locks_of_their_own_and_share_the_pause(tmp_path: Path) -> None:
    """A dry run never spends the budget of the real thing, and a pause stops both."""
    enforce, dry_run = (SqliteLedger.open(tmp_path, mode) for mode in (Mode.ENFORCE, Mode.DRY_RUN))
    (entry,) = await enforce.intend(incident(), [intent()])
    await dry_run.save_incident(incident(used=1))
    await dry_run.lock(Lock("service:api", NOW, "simulated"))
    await enforce.pause(Pause(NOW, None, "deploy"))

    ledger = await dry_run.load(NOW - DAY)
    assert (ledger.entries, ledger.incidents) == ((), (incident(used=1),))
    assert ledger.pause == Pause(NOW, None, "deploy")
    with pytest.raises(LedgerError, match="no dry-run entry"):
        await dry_run.conclude([(entry.id, confirmed())])

    assert await enforce.acknowledge() == ()
    assert len(await dry_run.acknowledge()) == 1
    assert await dry_run.resume()
    ledger = await enforce.load(NOW - DAY)
    assert (ledger.entries, ledger.incidents, ledger.pause) == ((entry,), (incident(),), None)
    await enforce.close()
    await dry_run.close()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"garbage", "is not a ledger"),
        (b"\x00" * 4096, "is not a ledger"),
        (b"SQLite format 3\x00" + b"\xff" * 5000, "is not a ledger|is damaged"),
    ],
)
async def test_what_is_no_ledger_is_left_as_it_is(tmp_path: Path, content: bytes, complaint: str) -> None:
    """The message names the file and says what to do; not a byte of it changes."""
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(LedgerError, match=complaint) as caught:
            SqliteLedger.open(tmp_path, Mode.ENFORCE)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert _contents(tmp_path)["ledger.db"] == content


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("PRAGMA user_version = 99", "format 99, this one knows 2"),
        ("PRAGMA user_version = 0", "format 0, this one knows 2"),
        ("PRAGMA application_id = 42", "not a ledger"),
    ],
)
async def test_ledger_of_another_version_or_program_is_left_as_it_is(
    tmp_path: Path, change: str, complaint: str
) -> None:
    """Not even its write-ahead log is folded in: the other version may lay it out differently."""
    live, state_dir = tmp_path / "live", tmp_path / "crashed"
    live.mkdir()
    await _filled(live)
    with closing(sqlite3.connect(live / "ledger.db")) as db:
        db.execute(change)
        shutil.copytree(live, state_dir, ignore=shutil.ignore_patterns("*-shm"))
    before = _contents(state_dir)
    assert before["ledger.db-wal"]
    for access in (SqliteLedger.open, SqliteLedger.open_read_only):
        with pytest.raises(LedgerError, match=complaint):
            access(state_dir, Mode.ENFORCE)
    after = _contents(state_dir)
    assert {name: after[name] for name in before} == before


async def test_damaged_ledger_is_left_as_it_is_and_used_again_once_restored(tmp_path: Path) -> None:
    """Damage in the middle is found when opening; a restored file is used without a restart."""
    await _filled(tmp_path, entries=200)
    path = tmp_path / "ledger.db"
    sound = path.read_bytes()
    damaged = sound[:8192] + os.urandom(8192) + sound[16384:]
    path.write_bytes(damaged)
    store = SqliteLedger(tmp_path, Mode.ENFORCE)
    with pytest.raises(LedgerError, match="is damaged"):
        await store.resume()
    assert path.read_bytes() == damaged
    path.write_bytes(sound)
    assert len((await store.load(NOW)).entries) == 200
    await store.close()


@pytest.mark.parametrize("left", ["empty", "missing"])
async def test_log_without_its_file_is_not_thrown_away(tmp_path: Path, left: str) -> None:
    """SQLite would delete the log, or replay it into a new file; it may hold all there is."""
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    await store.intend(incident(), [intent()])
    log = _contents(tmp_path)["ledger.db-wal"]
    assert log
    await store.close()
    if left == "empty":
        (tmp_path / "ledger.db").write_bytes(b"")
    else:
        (tmp_path / "ledger.db").unlink()
    (tmp_path / "ledger.db-wal").write_bytes(log)
    before = _contents(tmp_path)
    for access in (SqliteLedger.open, SqliteLedger.open_read_only):
        with pytest.raises(LedgerError, match=r"is missing or empty, but ledger\.db-wal has records"):
            access(tmp_path, Mode.ENFORCE)
    assert _contents(tmp_path) == before


async def test_empty_file_and_remains_of_a_killed_first_start_are_no_obstacle(
    tmp_path: Path,
) -> None:
    """Nothing was recorded in them."""
    for name in ("ledger.db", "ledger.db.new", "ledger.db.new-wal", "ledger.db.new-journal"):
        (tmp_path / name).write_bytes(b"" if name == "ledger.db" else b"half")
    await _filled(tmp_path)
    assert await _pids(tmp_path) == [1, 2, 3]
    assert set(_contents(tmp_path)) == {"ledger.db", "ledger.mark"}


async def test_record_of_a_later_schema_is_refused_not_guessed(tmp_path: Path) -> None:
    """A record that this version would misread stops everything, loudly."""
    await _filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        (written,) = db.execute("SELECT intent FROM entry WHERE id = 2").fetchone()
        body = written.replace('"schema": 1', '"schema": 2').rpartition(', "sum"')[0]
        later = f'{body}, "sum": "{crc32(body.encode()):08x}"}}'
        db.execute("UPDATE entry SET intent = ? WHERE id = 2", (later,))
        db.commit()
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    with pytest.raises(LedgerError, match="schema 2"):
        await store.load(NOW)
    await store.close()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, make: object) -> None:
    """A pipe, a directory or a link in its place is somebody's mistake or trap."""
    assert callable(make)
    make(tmp_path / "ledger.db")
    with pytest.raises(LedgerError, match="not a regular file"):
        SqliteLedger.open(tmp_path, Mode.ENFORCE)


async def test_missing_directory_is_said_and_used_once_it_is_there(tmp_path: Path) -> None:
    """A volume that is mounted late needs no restart of the daemon."""
    state_dir = tmp_path / "state"
    store = SqliteLedger(state_dir, Mode.ENFORCE)
    with pytest.raises(LedgerError, match=f"{state_dir}: no such file or directory; create it"):
        await store.load(NOW)
    state_dir.write_text("")
    with pytest.raises(LedgerError, match="not a directory"):
        await store.load(NOW)
    state_dir.unlink()
    state_dir.mkdir()
    assert await store.load(NOW) == Ledger()
    await store.close()


def test_directory_open_to_everyone_is_refused(tmp_path: Path) -> None:
    """Whoever may write there could forge the records and the lock."""
    tmp_path.chmod(0o777)
    with pytest.raises(LedgerError, match="everyone may write to it"):
        SqliteLedger.open(tmp_path, Mode.ENFORCE)
    assert _contents(tmp_path) == {}


@contextmanager
def _as_nobody() -> Iterator[None]:
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_directory_of_another_user_is_refused_and_root_may_help(shared_dir: Path) -> None:
    """What root records for the daemon, as operators' commands do, is the daemon's to use."""
    with (
        _as_nobody(),
        pytest.raises(LedgerError, match=f"belongs to uid 0, remediator runs as uid {_NOBODY}"),
    ):
        SqliteLedger.open(shared_dir, Mode.ENFORCE)
    os.chown(shared_dir, _NOBODY, _NOBODY)
    root = SqliteLedger.open(shared_dir, Mode.ENFORCE)
    await root.pause(Pause(NOW, None))
    with _as_nobody():
        daemon = SqliteLedger.open(shared_dir, Mode.ENFORCE)
        assert (await daemon.load(NOW)).pause == Pause(NOW, None)
        await daemon.resume()
        await daemon.close()
    assert (await root.load(NOW)).pause is None
    await root.close()


async def test_removed_ledger_is_missed_until_it_is_back(tmp_path: Path) -> None:
    """What was done must not be forgotten: the process that did it remembers how much that was."""
    state_dir, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    state_dir.mkdir()
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    await store.intend(incident(), [intent(terminate(pid)) for pid in (1, 2, 3)])
    await store.pause(Pause(NOW, None))
    state_dir.rename(elsewhere)
    state_dir.mkdir()
    for complaint in ("removed or replaced", "is missing, with all that was done", "is missing"):
        with pytest.raises(LedgerError, match=complaint):
            await store.intend(incident(), [intent()])
    assert _contents(state_dir) == {}
    await _filled(state_dir, entries=2)
    with pytest.raises(LedgerError, match="is of revision 1, but there was one of 2"):
        await store.intend(incident(), [intent()])
    shutil.rmtree(state_dir)
    elsewhere.rename(state_dir)
    (entry,) = await store.intend(incident(), [intent(terminate(7))])
    await store.close()
    assert entry.id == 4
    assert await _pids(state_dir) == [1, 2, 3, 7]


@pytest.mark.parametrize("name", ["ledger.db-wal", "ledger.db-shm"])
async def test_removed_log_is_noticed_before_anything_is_recorded_in_the_void(
    tmp_path: Path, name: str
) -> None:
    """What was in the log is saved into the file when it is closed; then everything goes on."""
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    await store.intend(incident(), [intent(terminate(1))])
    (tmp_path / name).unlink()
    with pytest.raises(LedgerError, match="its log, was removed"):
        await store.intend(incident(), [intent(terminate(2))])
    await store.intend(incident(), [intent(terminate(3))])
    await store.close()
    assert await _pids(tmp_path) == [1, 3]


async def test_older_copy_or_missing_ledger_is_refused_until_a_person_accepts_it(tmp_path: Path) -> None:
    """Also by the next process: the mark remembers what the ledger no longer does."""
    await _filled(tmp_path, entries=2)
    old = _contents(tmp_path)["ledger.db"]
    await _filled(tmp_path, entries=1)
    new = _contents(tmp_path)["ledger.db"]
    path, mark = tmp_path / "ledger.db", tmp_path / "ledger.mark"
    path.write_bytes(old)
    with pytest.raises(LedgerError, match=r"revision 1, .* one of 2: .* remove ledger\.mark"):
        SqliteLedger.open(tmp_path, Mode.ENFORCE)
    path.unlink()
    with pytest.raises(LedgerError, match=r"is missing, .* remove ledger\.mark"):
        SqliteLedger.open(tmp_path, Mode.ENFORCE)
    assert "ledger.db" not in _contents(tmp_path)
    path.write_bytes(new)
    assert await _pids(tmp_path) == [1, 2, 1]
    path.write_bytes(old)
    mark.unlink()
    assert await _pids(tmp_path) == [1, 2]
    mark.unlink()
    path.unlink()
    assert await _pids(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"x", b"9" * 30, b"\xff" * 30, b"0" * 20 + b" 00000000\n"])
async def test_damaged_mark_is_made_anew_from_a_sound_ledger(tmp_path: Path, content: bytes) -> None:
    """One of the two is enough; only when both are gone nobody knows."""
    await _filled(tmp_path)
    sound = _contents(tmp_path)["ledger.mark"]
    (tmp_path / "ledger.mark").write_bytes(content)
    assert await _pids(tmp_path) == [1, 2, 3]
    assert _contents(tmp_path)["ledger.mark"] == sound


async def test_mark_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """The process remembers by itself."""
    (tmp_path / "ledger.mark").symlink_to(tmp_path / "elsewhere")
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    await store.intend(incident(), [intent(), intent()])
    await store.close()
    assert not (tmp_path / "elsewhere").exists()


async def test_checking_writes_and_changes_nothing(tmp_path: Path) -> None:
    """A disk that takes no writes is found out about although nothing has to be recorded."""
    await _filled(tmp_path)
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    await store.check()
    assert (tmp_path / "ledger.db-wal").stat().st_size > 0
    await store.close()
    assert await _pids(tmp_path) == [1, 2, 3]


async def test_reading_only_creates_nothing_and_writes_nothing(tmp_path: Path) -> None:
    """`plan` and `history` leave no trace, where there is a ledger and where there is none."""
    missing = SqliteLedger.open_read_only(tmp_path / "nowhere", Mode.ENFORCE)
    assert await missing.load(NOW) == Ledger()
    reader = SqliteLedger.open_read_only(tmp_path, Mode.ENFORCE)
    assert await reader.load(NOW) == Ledger()
    assert await reader.history(NOW) == ((), ())
    with pytest.raises(LedgerError, match="open for reading only"):
        await reader.pause(Pause(NOW, None))
    assert _contents(tmp_path) == {}

    (tmp_path / "ledger.db").touch(mode=0o600)
    assert await reader.load(NOW) == Ledger()
    assert _contents(tmp_path) == {"ledger.db": b""}

    await _filled(tmp_path)
    before = _contents(tmp_path)["ledger.db"]
    assert len((await reader.load(NOW)).entries) == 3
    with pytest.raises(LedgerError, match="open for reading only"):
        await reader.pause(Pause(NOW, None))
    await reader.close()
    assert _contents(tmp_path)["ledger.db"] == before


async def test_readers_see_whole_transactions_while_a_writer_writes(tmp_path: Path) -> None:
    """A reader never waits for the writer, and never sees half of what belongs together."""
    writer = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    reader = SqliteLedger.open_read_only(tmp_path, Mode.ENFORCE)

    async def write() -> None:
        for number in range(50):
            entries = await writer.intend(incident(step=number), [intent() for _ in range(10)])
            await writer.conclude([(entry.id, confirmed()) for entry in entries])

    writing = asyncio.create_task(write())
    counts = []
    while not writing.done():
        entries = (await reader.load(NOW)).entries
        counts.append(len(entries))
        assert len([entry for entry in entries if entry.outcome is None]) in (0, 10)
    await writing
    assert len((await reader.load(NOW)).entries) == 500
    assert counts == sorted(counts)
    assert {count % 10 for count in counts} == {0}
    await writer.close()
    await reader.close()


_OPERATOR = """
import asyncio, sys
from pathlib import Path
from remediator.adapters.ledger import SqliteLedger
from remediator.core.ledger import Lock, Pause
from remediator.core.model import Mode
from tests.testbed.ledger import NOW

async def main():
    store = SqliteLedger.open(Path(sys.argv[1]), Mode.ENFORCE)
    await store.lock(Lock(f"service:{sys.argv[2]}", NOW, "written by another process"))
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_start_at_once_create_one_ledger(tmp_path: Path) -> None:
    """The daemon and operators' commands meet at the first start; none fails, nothing is lost."""
    names = [f"s{number}" for number in range(6)]
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _OPERATOR, str(tmp_path), name)
        for name in names
    ]
    assert [await process.wait() for process in processes] == [0] * len(names)
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    assert {lock.scope for lock in (await store.load(NOW)).locks} == {f"service:{name}" for name in names}
    await store.close()


async def test_creating_again_leaves_what_was_recorded(tmp_path: Path) -> None:
    """Of two processes that found no ledger, the second must not replace that of the first."""
    await _filled(tmp_path)
    create(tmp_path / "ledger.db")
    assert await _pids(tmp_path) == [1, 2, 3]


async def test_file_that_another_process_keeps_busy_is_said_and_used_afterwards(tmp_path: Path) -> None:
    """Waiting for it is bounded, and reading goes on meanwhile."""
    await _filled(tmp_path)
    store = SqliteLedger.open(tmp_path, Mode.ENFORCE)
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another process keeps it busy"):
            await store.pause(Pause(NOW, None))
        assert len((await store.load(NOW)).entries) == 3
    await store.pause(Pause(NOW, None))
    assert (await store.load(NOW)).pause == Pause(NOW, None)
    await store.close()
