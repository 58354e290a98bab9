"""What waits: in order, bounded, and as long as there is a file also after a crash."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from remediator.adapters.notify.file import NAME, waiting
from remediator.adapters.notify.message import Message
from remediator.adapters.notify.outbox import MOST, Outbox


class Told(list[str]):
    """What was told of the file."""


def message(title: str, target: str = "a") -> Message:
    """Something to send."""
    return Message(0, target, title, "body", "alarm", 1000.0)


def opened(directory: Path, told: Told | None = None) -> Outbox:
    """An outbox that has read its file."""
    outbox = Outbox(directory, (told if told is not None else Told()).append)
    outbox.load(0.0)
    return outbox


def titles(outbox: Outbox, target: str = "a") -> list[str]:
    """What waits for a target."""
    return [one.title for one in outbox.queue(target)]


def test_what_waits_is_there_after_a_crash(tmp_path: Path) -> None:
    """In its order, for its target, with what they were told; what was delivered is gone."""
    before = opened(tmp_path)
    before.facts("a")["incident x"] = {"held": 5.0}
    before.put("a", [message("1"), message("2"), message("3")], 0.0)
    before.put("b", [message("4", "b")], 0.0)
    before.remove(before.queue("a")[0], 0.0)
    after = opened(tmp_path)
    assert (titles(after), titles(after, "b")) == (["2", "3"], ["4"])
    assert after.facts("a") == {"incident x": {"held": 5.0}}
    after.put("a", [message("5")], 0.0)
    assert titles(opened(tmp_path)) == ["2", "3", "5"]
    assert waiting(tmp_path) == 4


def test_what_was_on_its_way_is_known_to_have_been(tmp_path: Path) -> None:
    """So that it is sent once more, and not for ever."""
    outbox = opened(tmp_path)
    outbox.put("a", [message("1"), message("2")], 0.0)
    for crashes in (1, 2):
        outbox.mark(outbox.queue("a")[0], 0.0, begun=True)
        outbox = opened(tmp_path)
        first, second = outbox.queue("a")
        assert (first.crashes, first.begun, second.crashes) == (crashes, False, 0)
    outbox.mark(outbox.queue("a")[0], 0.0, begun=True)
    outbox.mark(outbox.queue("a")[0], 0.0, begun=False)
    assert opened(tmp_path).queue("a")[0].crashes == 2


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    """But not the first, which may be on its way just now."""
    outbox = opened(tmp_path)
    outbox.put("a", [message(str(n)) for n in range(MOST)], 0.0)
    assert [m.title for m in outbox.put("a", [message("x"), message("y")], 0.0)] == ["1", "2"]
    assert titles(outbox)[:2] == ["0", "3"]
    assert titles(opened(tmp_path)) == titles(outbox)


def test_a_target_that_is_no_more_leaves_nothing(tmp_path: Path) -> None:
    """Neither messages nor what it was told."""
    outbox = opened(tmp_path)
    outbox.put("a", [message("1")], 0.0)
    outbox.facts("b")["x"] = {"y": 1.0}
    outbox.put("b", [], 0.0)
    assert outbox.targets == ["a", "b"]
    assert [outbox.forget(name, 0.0) for name in ("a", "b")] == [1, 0]
    assert (outbox.targets, opened(tmp_path).targets) == ([], [])


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Messages name users and applications."""
    opened(tmp_path)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"nothing of the sort" * 100),
        lambda path: os.truncate(path, 5000),
        lambda path: change(path, "PRAGMA user_version = 7"),
        lambda path: change(path, 'UPDATE message SET record = \'{"no": "message"}\''),
        lambda path: change(path, "UPDATE message SET record = 'no JSON'"),
        lambda path: change(path, "UPDATE facts SET record = '{\"a\": 5}'"),
        lambda path: change(path, "UPDATE facts SET record = '[]'"),
        lambda path: change(path, "DROP TABLE facts"),
    ],
    ids=["noise", "cut", "version", "record", "text", "facts", "list", "table"],
)
def test_a_damaged_file_is_set_aside_and_said_once(tmp_path: Path, spoil: object) -> None:
    """A new one is begun; nobody's messages are worth a daemon that does not start."""
    outbox = opened(tmp_path)
    outbox.facts("a")["x"] = {"y": 1.0}
    outbox.put("a", [message("1")], 0.0)
    outbox.close()
    assert callable(spoil)
    spoil(tmp_path / NAME)
    told = Told()
    after = opened(tmp_path, told)
    assert (titles(after), after.facts("a")) == ([], {})
    after.put("a", [message("2")], 0.0)
    assert len(told) == 1
    assert "a new one begun" in told[0]
    assert (tmp_path / f"{NAME}.damaged").exists()
    assert titles(opened(tmp_path)) == ["2"]


def change(path: Path, statement: str) -> None:
    """Change the file behind our back."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


def test_without_a_file_all_waits_in_memory_until_there_is_one(tmp_path: Path) -> None:
    """It is tried again every half minute; what an earlier run left comes first then."""
    earlier = opened(tmp_path)
    earlier.put("a", [message("1"), message("2")], 0.0)
    earlier.close()
    (tmp_path / NAME).rename(tmp_path / "away")
    (tmp_path / NAME).mkdir()
    told = Told()
    outbox = opened(tmp_path, told)
    outbox.put("a", [message("3")], 1.0)
    assert (titles(outbox), len(told)) == (["3"], 1)
    (tmp_path / NAME).rmdir()
    (tmp_path / "away").rename(tmp_path / NAME)
    outbox.put("a", [message("4")], 29.0)
    assert titles(outbox) == ["3", "4"]
    outbox.put("a", [message("5")], 31.0)
    assert titles(outbox) == ["1", "2", "3", "4", "5"]
    assert told[1:] == [""]
    assert titles(opened(tmp_path)) == titles(outbox)


def test_a_file_that_is_taken_away_is_written_anew(tmp_path: Path) -> None:
    """With all that waits."""
    outbox = opened(tmp_path)
    outbox.put("a", [message("1")], 0.0)
    (tmp_path / NAME).unlink()
    outbox.put("a", [message("2")], 0.0)
    assert titles(opened(tmp_path)) == ["1", "2"]


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write to the directory shall not choose what we overwrite."""
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    told = Told()
    opened(tmp_path, told).put("a", [message("1")], 0.0)
    assert len(told) == 1
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_what_waits_can_be_counted_and_trouble_is_said(tmp_path: Path) -> None:
    """For `doctor`, which changes nothing."""
    assert waiting(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / NAME).write_bytes(b"nothing of the sort" * 100)
    with pytest.raises(OSError, match="begun anew"):
        waiting(tmp_path)
