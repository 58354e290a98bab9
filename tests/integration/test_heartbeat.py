"""The sign of life is a real file, read by another process in practice."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediator.adapters.heartbeat import Heartbeat, Pulse, read

MINUTE = timedelta(minutes=1)


def _now() -> datetime:
    return datetime.now(UTC)


def test_beat_is_fresh_until_it_is_too_old(tmp_path: Path) -> None:
    """The reader needs no configuration: how old is too old is in the file."""
    assert Heartbeat(tmp_path).beat(MINUTE)
    now = _now()
    status = read(tmp_path, now)
    assert (status.pulse, status.max_age, status.pid) == (Pulse.FRESH, MINUTE, os.getpid())
    assert status.age is not None
    assert abs(status.age) < MINUTE
    assert read(tmp_path, now + 2 * MINUTE).pulse is Pulse.STALE


def test_later_beat_moves_the_time_and_leaves_the_content(tmp_path: Path) -> None:
    """A beat costs one system call as long as nothing else is to be said."""
    heartbeat = Heartbeat(tmp_path)
    heartbeat.beat(MINUTE)
    path = tmp_path / "heartbeat"
    os.utime(path, (0, 0))
    assert read(tmp_path, _now()).pulse is Pulse.STALE
    inode = path.stat().st_ino
    assert heartbeat.beat(MINUTE)
    assert read(tmp_path, _now()).pulse is Pulse.FRESH
    assert path.stat().st_ino == inode


def test_new_expectation_is_told(tmp_path: Path) -> None:
    """At another level cycles are further apart."""
    heartbeat = Heartbeat(tmp_path)
    heartbeat.beat(MINUTE)
    heartbeat.beat(10 * MINUTE)
    assert read(tmp_path, _now() + 5 * MINUTE).pulse is Pulse.FRESH
    assert [each.name for each in tmp_path.iterdir()] == ["heartbeat"]


def test_the_mode_is_told_for_as_long_as_the_daemon_lives(tmp_path: Path) -> None:
    """Of one that has ended nobody wants to know."""
    heartbeat = Heartbeat(tmp_path, "enforce")
    heartbeat.beat(MINUTE)
    assert read(tmp_path, _now()).mode == "enforce"
    assert read(tmp_path, _now() + 2 * MINUTE).mode == ""
    heartbeat.beat(MINUTE, ["shop"])
    assert read(tmp_path, _now()).mode == "enforce"


def test_a_database_that_has_stalled_is_named(tmp_path: Path) -> None:
    """Until its checks come to an end again; a beat that is too old is stale whatever it said."""
    heartbeat = Heartbeat(tmp_path)
    assert heartbeat.beat(MINUTE, ["shop", "blog"])
    status = read(tmp_path, _now())
    assert status.pulse is Pulse.STALLED
    assert "shop, blog" in status.detail
    assert read(tmp_path, _now() + 2 * MINUTE).pulse is Pulse.STALE
    assert heartbeat.beat(MINUTE)
    assert read(tmp_path, _now()).pulse is Pulse.FRESH


def test_beat_of_the_distant_future_is_stale(tmp_path: Path) -> None:
    """After the clock went back, a dead daemon must not look alive for hours."""
    Heartbeat(tmp_path).beat(MINUTE)
    assert read(tmp_path, _now() - timedelta(seconds=30)).pulse is Pulse.FRESH
    assert read(tmp_path, _now() - timedelta(hours=1)).pulse is Pulse.STALE


def test_without_a_beat_there_is_none(tmp_path: Path) -> None:
    """No file, no directory, and what is no file at all."""
    assert read(tmp_path, _now()).pulse is Pulse.MISSING
    assert read(tmp_path / "nowhere", _now()).pulse is Pulse.MISSING
    (tmp_path / "heartbeat").mkdir()
    status = read(tmp_path, _now())
    assert status.pulse is Pulse.UNREADABLE
    assert status.detail == f"{tmp_path / 'heartbeat'}: Is a directory"


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"[]", b"{}", b'{"pid": 1, "max_age": "x"}', b'{"pid": null, "max_age": 1}']
)
def test_what_is_not_ours_is_no_beat(tmp_path: Path, content: bytes) -> None:
    """A file of that name with anything else in it says nothing."""
    (tmp_path / "heartbeat").write_bytes(content)
    assert read(tmp_path, _now()).pulse is Pulse.UNREADABLE


def test_beat_that_cannot_be_written_is_reported_and_made_up_for(tmp_path: Path) -> None:
    """The directory goes away and comes back, as a mount does; nothing is raised."""
    state_dir = tmp_path / "state"
    heartbeat = Heartbeat(state_dir)
    assert not heartbeat.beat(MINUTE)
    state_dir.mkdir()
    assert heartbeat.beat(MINUTE)
    (state_dir / "heartbeat").unlink()
    assert heartbeat.beat(MINUTE)
    assert read(state_dir, _now()).pulse is Pulse.FRESH
