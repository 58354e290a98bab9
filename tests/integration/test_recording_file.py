"""The recording's file: forgets as agreed, is never in the way, and survives what befalls files."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from remediator.adapters.recording import Keep, Recorder, SqliteRecording
from remediator.adapters.recording.file import ASIDE, NAME
from remediator.adapters.sqlite import transaction
from remediator.core.assess import Watch, assess
from remediator.core.events import Event
from remediator.core.ledger import Incident
from remediator.core.model import Level, Mode
from remediator.core.plan import Plan, Survey
from remediator.core.policy import Conditions, LevelRule
from remediator.core.reading import Reading
from remediator.core.turn import Turn
from tests.builders import (
    DATABASE,
    START,
    make_group,
    make_incident,
    make_policy,
    make_sample,
    make_session,
    moment,
)
from tests.replaying import finish
from tests.unit.cycle_world import Told

DAY = timedelta(days=1)
KEEP = Keep(90 * DAY, 90 * DAY, 200_000_000)
POLICY = make_policy(levels={Level.CRITICAL: LevelRule(Conditions(0.9))})


def turn(seconds: float, *, incident: Incident | None = None, groups: int = 1) -> Turn:
    """A completed cycle this long after the beginning."""
    made = [
        make_group(count=1, application=sha256(f"{seconds} {n}".encode()).hexdigest()) for n in range(groups)
    ]
    sample = make_sample(used=50, groups=made, at=moment(seconds))
    return Turn(assess(POLICY, Watch(), sample), incident=incident)


def recorder(state_dir: Path, told: Told, keep: Keep = KEEP) -> Recorder:
    """A recorder of enforce mode."""
    return Recorder(state_dir, Mode.ENFORCE, "one", keep, told)


def record(state_dir: Path, *turns: Turn, keep: Keep = KEEP) -> Told:
    """Record cycles as one life of a daemon would, at the pace of the disk."""
    told = Told()
    writer = recorder(state_dir, told, keep)
    for one in turns:
        writer.completed(DATABASE, POLICY, one)
        while writer._waiting.qsize() > 100:  # noqa: SLF001  in life there are seconds between them
            time.sleep(0.001)
    finish(writer)
    return told


def room(state_dir: Path) -> int:
    """Bytes that everything in a directory takes."""
    return sum(path.stat().st_size for path in state_dir.iterdir())


def empty(state_dir: Path) -> None:
    """Remove every file."""
    for path in state_dir.iterdir():
        path.unlink()


async def recorded(state_dir: Path) -> tuple[Reading, ...]:
    """Everything there is."""
    recording = SqliteRecording(state_dir, Mode.ENFORCE)
    found = [r async for r in recording.whole(DATABASE, START - 400 * DAY, START + 400 * DAY)]
    await recording.close()
    return tuple(found)


async def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """Users, applications and addresses are nobody else's business."""
    old = os.umask(0)
    try:
        record(tmp_path, turn(0))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


async def test_readings_grow_fewer_with_age(tmp_path: Path) -> None:
    """All of the last day, one a minute of the week, one in ten minutes of what is kept, nothing older."""
    ages = (100 * DAY, 30 * DAY, 3 * DAY, DAY / 2)
    hour = range(0, 3600, 30)
    turns = [turn(-age.total_seconds() + second) for age in ages for second in hour]
    told = record(tmp_path, *turns, turn(0))
    record(tmp_path, turn(1))  # thins when it begins
    found = await recorded(tmp_path)
    counts = [sum(1 for r in found if START - a <= r.at < START - a + timedelta(hours=1)) for a in ages]
    assert counts == [0, 6, 60, 120]
    assert told.lines == []


async def test_incidents_are_kept_whole_and_so_are_changes_of_level(tmp_path: Path) -> None:
    """What happened in an incident is still told after months."""
    month = -30 * 86400.0
    incident = make_incident(opened_at=START - 30 * DAY)
    calm = [turn(month - 7200 + n) for n in range(0, 3600, 10)]
    changed = turn(month - 4444)
    changed = replace(changed, assessment=replace(changed.assessment, level=Level.ALERT))
    bad = [turn(month + n, incident=incident) for n in range(0, 600, 5)]
    record(tmp_path, *calm, changed, *bad, turn(0))
    record(tmp_path, turn(1))
    found = await recorded(tmp_path)
    assert sum(1 for r in found if r.incident) == len(bad)
    assert [r.level for r in found if r.level is not r.previous] == [Level.ALERT]
    assert sum(1 for r in found if r.at < START - 30 * DAY) < 10


async def test_it_never_takes_more_room_than_agreed(tmp_path: Path) -> None:
    """The oldest make way, those of incidents last."""
    most = 500_000
    incident = make_incident(opened_at=START)
    story = [turn(n, incident=incident, groups=100) for n in range(20)]
    later = [turn(3600.0 + n, groups=100) for n in range(600)]
    told = record(tmp_path, *story, *later, keep=replace(KEEP, size=most))
    assert told.lines == []
    found = await recorded(tmp_path)
    assert sum(1 for r in found if r.incident) == len(story)
    assert found[-1].at == START + timedelta(seconds=3600 + 599)
    assert len(found) < len(story) + len(later)
    assert room(tmp_path) < most * 1.5


def crowd(second: int) -> Survey:
    """A thousand sessions, one in ten of them busy with another statement each time."""
    idle = (
        replace(make_session(pid=n, application=f"worker {n % 50}"), idle_for=600 + second + n * 1e-6)
        for n in range(900)
    )
    at = START + timedelta(seconds=second)
    busy = (
        replace(make_session(pid=n), state="active", state_change=at + timedelta(microseconds=n), idle_for=0)
        for n in range(900, 1000)
    )
    return Survey((*idle, *busy), {})


async def test_an_endless_incident_does_not_push_everything_else_out(tmp_path: Path) -> None:
    """When nothing can be done for long, what stays the same is not written down every other second."""
    incident, pace, looks = make_incident(), 2, 100
    seconds = range(0, pace * looks, pace)
    turns = (replace(turn(n), plan=Plan(), incident=incident, survey=crowd(n)) for n in seconds)
    record(tmp_path, *turns)
    an_hour = room(tmp_path) / (pace * looks) * 3600
    assert an_hour < 8_000_000  # 90 MB in full each time
    found = [r async for r in stored(tmp_path)]
    assert len(found) == looks
    for each in (found[0], found[looks // 2 + 7], found[-1]):
        assert each.survey == crowd(int((each.at - START).total_seconds()))


async def stored(state_dir: Path) -> AsyncIterator[Reading]:
    """Everything there is, one after the other."""
    recording = SqliteRecording(state_dir, Mode.ENFORCE)
    async for reading in recording.whole(DATABASE, START - 400 * DAY, START + 400 * DAY):
        yield reading
    await recording.close()
    assert recording.damaged == 0


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)


def _torn(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, transaction(connection):
        connection.execute("CREATE TABLE mine (x)")


@pytest.mark.parametrize("spoil", [_garbage, _torn, _newer, _foreign])
async def test_what_cannot_be_used_is_set_aside(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """Said once; the next readings are kept in a new file, and the old one is there to be looked at."""
    record(tmp_path, *(turn(n) for n in range(100)))
    spoil(tmp_path / NAME)
    spoiled = (tmp_path / NAME).read_bytes()
    told = record(tmp_path, turn(1000), turn(1001))
    assert [event for event, _ in told.lines] == [Event.RECORDING_BEGUN_ANEW]
    assert (tmp_path / ASIDE).read_bytes() == spoiled
    assert [r.at for r in await recorded(tmp_path)] == [moment(1000).at, moment(1001).at]
    assert record(tmp_path, turn(1002)).lines == []


async def test_a_directory_that_is_gone_costs_readings_and_nothing_else(tmp_path: Path) -> None:
    """Said once, tried again with each cycle, and said when it works."""
    state_dir, told = tmp_path / "state", Told()
    writer = recorder(state_dir, told)
    for second in range(3):
        writer.completed(DATABASE, POLICY, turn(second))
    writer.close()
    because = (
        f"{state_dir / NAME}: no such file or directory; check the directory, its file system and its owner"
    )
    assert told.lines == [(Event.RECORDING_UNAVAILABLE, {"because": because})]
    state_dir.mkdir()
    writer.completed(DATABASE, POLICY, turn(3))
    writer.close()
    assert told.lines[1:] == [(Event.RECORDING_AVAILABLE, {"lost": 3})]
    assert [r.at for r in await recorded(state_dir)] == [moment(3).at]


async def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    """Nobody writes for ever into a file that nobody can find."""
    told = Told()
    writer = recorder(tmp_path, told)
    writer.completed(DATABASE, POLICY, turn(0))
    writer.close()
    empty(tmp_path)
    writer.completed(DATABASE, POLICY, turn(1))
    writer.close()
    assert [r.at for r in await recorded(tmp_path)] == [moment(1).at]


def test_a_disk_that_does_not_answer_never_holds_up_a_cycle(tmp_path: Path) -> None:
    """Given a disk that takes nothing, when hundreds of cycles complete, then none waits; losses are told."""
    told = Told()
    writer = recorder(tmp_path, told)
    writer.completed(DATABASE, POLICY, turn(0))
    writer.close()
    with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        for second in range(400):
            writer.completed(DATABASE, POLICY, turn(second))
        took = time.monotonic() - begun
        thread = writer._thread  # noqa: SLF001  to know when it has done what it could
        assert thread is not None
        writer.close()
        other.execute("ROLLBACK")
    assert took < 1.5  # the disk is waited for at least two seconds by the recorder's own thread
    thread.join(30)
    assert not thread.is_alive()
    writer.completed(DATABASE, POLICY, turn(1000))
    writer.close()
    events = [event for event, _ in told.lines]
    assert events[0] in (Event.RECORDING_UNAVAILABLE, Event.RECORDING_GAP)
    # Kept may be what waited, and what was in hand if the disk answers again just before that is given up.
    assert sum(int(fields.get("lost", 0)) for _, fields in told.lines) >= 400 - 256 - 64


async def test_a_damaged_reading_is_passed_over(tmp_path: Path) -> None:
    """One reading more or less decides nothing."""
    record(tmp_path, turn(0), turn(1), turn(2))
    with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as other:
        other.execute("UPDATE reading SET record = x'00' WHERE id = 2")
    assert [r.at for r in await recorded(tmp_path)] == [moment(0).at, moment(2).at]
