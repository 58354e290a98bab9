"""Audits that are kept, in a real directory: private, few, and what cannot be read is passed over."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from remediator.adapters.audits import AuditFiles
from remediator.errors import LedgerError
from tests.testbed.missing import missing

if TYPE_CHECKING:
    from pathlib import Path

MONDAY = datetime(2030, 1, 7, 6, tzinfo=UTC)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state directory."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    return directory


def number(record: Any) -> int:
    """What is wanted of an audit here."""
    if not isinstance(record, dict):
        raise ValueError("is not an audit")  # noqa: TRY004  as its real reader does
    return int(record["number"])


def test_the_newest_is_found_and_only_so_many_are_kept(state_dir: Path) -> None:
    """By their names; the files are for their owner alone, whatever the umask."""
    files = AuditFiles(state_dir)
    assert files.last_made() is None
    assert files.newest(number) == ((), ())
    umask = os.umask(0)
    try:
        for week in range(5):
            files.keep({"number": week}, MONDAY + timedelta(weeks=week), keep=3)
    finally:
        os.umask(umask)
    assert files.newest(number) == ((4,), ())
    assert files.newest(number, lambda found: found[-1] < 4) == ((4, 3), ())
    assert files.newest(number, lambda _: False) == ((4, 3, 2), ())
    assert files.last_made() == MONDAY + timedelta(weeks=4)
    kept = sorted((state_dir / "audits").iterdir())
    assert [json.loads(path.read_text())["number"] for path in kept] == [2, 3, 4]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert stat.S_IMODE((state_dir / "audits").stat().st_mode) == 0o700


def test_what_root_keeps_belongs_to_the_directorys_owner(state_dir: Path) -> None:
    """An operator's --keep must not lock the daemon out."""
    if os.geteuid() != 0:
        missing("only root can make a directory another user's: run the tests as root")
    os.chown(state_dir, 1234, 1234)
    path = AuditFiles(state_dir).keep({"number": 1}, MONDAY, keep=3)
    assert {path.stat().st_uid, path.parent.stat().st_uid} == {1234}


def test_what_cannot_be_read_is_passed_over_with_a_word(state_dir: Path) -> None:
    """Half a file, another kind of file, a link out of the directory, something that never ends."""
    files = AuditFiles(state_dir)
    files.keep({"number": 1}, MONDAY, keep=9)
    directory = state_dir / "audits"
    (directory / "20300201T060000Z.json").write_text('{"number": 2')
    (directory / "20300202T060000Z.json").write_bytes(b"\xff\xfe")
    (directory / "20300203T060000Z.json").write_text("[1]")
    (directory / "20300204T060000Z.json").write_text("[" * 100_000)
    (directory / "20300205T060000Z.json").mkdir()
    (directory / "20300206T060000Z.json").symlink_to("/dev/zero")
    os.mkfifo(directory / "20300207T060000Z.json")
    (directory / "notes.json").write_text("not one of ours")
    found, passed = files.newest(number)
    assert found == (1,)
    assert [one.path.name[:8] for one in passed] == [f"2030020{day}" for day in range(7, 0, -1)]
    assert all(one.because for one in passed)


def test_a_crash_while_one_is_kept_is_no_obstacle(state_dir: Path) -> None:
    """What it left is written over."""
    files = AuditFiles(state_dir)
    files.keep({"number": 1}, MONDAY, keep=3)
    (state_dir / "audits" / "20300114T060000Z.new").write_text("half")
    files.keep({"number": 2}, MONDAY + timedelta(weeks=1), keep=3)
    assert files.newest(number) == ((2,), ())
    assert len(list((state_dir / "audits").iterdir())) == 2


def test_without_a_usable_directory_nothing_is_kept(tmp_path: Path, state_dir: Path) -> None:
    """Missing, open to everybody, in the way."""
    with pytest.raises(LedgerError, match="create it"):
        AuditFiles(tmp_path / "none").keep({}, MONDAY, keep=3)
    state_dir.chmod(0o777)
    with pytest.raises(LedgerError, match="everyone may write"):
        AuditFiles(state_dir).keep({}, MONDAY, keep=3)
    state_dir.chmod(0o700)
    (state_dir / "audits").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot keep an audit"):
        AuditFiles(state_dir).keep({}, MONDAY, keep=3)
    with pytest.raises(LedgerError, match="cannot read"):
        AuditFiles(state_dir).last_made()
