"""A recording that is damaged, or made by somebody who means ill: what can be read is shown."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
import sqlite3
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.adapters.recording import Keep, Recorder
from remediator.adapters.recording.file import NAME
from remediator.cli import run
from remediator.core.assess import Watch, assess
from remediator.core.ledger import Incident
from remediator.core.model import Mode, Moment
from remediator.core.plan import Plan, Survey
from remediator.core.turn import Turn
from tests.builders import make_group, make_policy, make_sample, make_session
from tests.faults.conftest import Figure
from tests.replaying import finish
from tests.testbed.peak import measured, peak_bytes
from tests.unit.cycle_world import Told

CONFIG = "version: 1\nmode: enforce\ndatabases: [{name: shop, dsn: 'postgresql://u@127.0.0.1:1/shop'}]\n"
LOOKS = 120
PLENTY = 160  # MB: of which the interpreter with our libraries takes nearly half
DAY = timedelta(days=1)

Spoil = Callable[[Path], None]


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str
    peak: int


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """The state directory of a daemon that has lived through an incident an hour ago."""
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    (state_dir / "config.yaml").write_text(f"{CONFIG}state_dir: {state_dir}\n")
    opened = datetime.now(UTC) - timedelta(hours=1)
    incident = Incident("shop-1", "shop", opened, "96 of 97")
    keep, policy = Keep(90 * DAY, 90 * DAY, 200_000_000), make_policy()
    recorder = Recorder(state_dir, Mode.ENFORCE, "one", keep, Told())
    for number in range(LOOKS):
        at = Moment(opened + timedelta(seconds=2 * number), 2.0 * number)
        sample = make_sample(groups=[make_group(count=96)], at=at)
        survey = Survey(tuple(make_session(pid=n, idle_for=100.0 + number) for n in range(96)), {})
        recorder.completed(
            "shop", policy, Turn(assess(policy, Watch(), sample), Plan(), incident, survey=survey)
        )
    finish(recorder)
    asyncio.run(_write_down(state_dir, incident))
    return state_dir


async def _write_down(state_dir: Path, incident: Incident) -> None:
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    await store.save_incident(incident)
    await store.close()


def remediator(state_dir: Path, *arguments: str) -> Said:
    """Run a command, and see how much memory it took in MB."""
    peak = state_dir / "peak"
    command = measured(peak, *arguments, "--config", str(state_dir / "config.yaml"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Said(done.returncode, done.stdout, done.stderr, peak_bytes(peak) // 1_000_000)


def edit(state_dir: Path, statement: str, *values: object) -> None:
    """Change what is in the recording."""
    with closing(sqlite3.connect(state_dir / NAME, isolation_level=None)) as db:
        db.execute(statement, values)


def _bomb(state_dir: Path) -> None:
    packer = zlib.compressobj(1)
    parts = [packer.compress(bytes(1_000_000)) for _ in range(1_000)]
    edit(state_dir, "UPDATE reading SET record = ? WHERE id < 4", b"".join([*parts, packer.flush()]))


def _large_bomb(state_dir: Path) -> None:
    edit(state_dir, "UPDATE reading SET deliberation = zeroblob(300000000) WHERE id = 7")


def _crowd(state_dir: Path) -> None:
    # Valid, and each of it as large as may be: told by a survey of which every session is told again.
    group = b'{"user":"u","application":"a","address":null,"state":"idle","idle_for_at_least":0,"count":1}'
    with closing(sqlite3.connect(state_dir / NAME)) as db:
        ((record,),) = db.execute("SELECT record FROM reading WHERE id = 9").fetchall()
    text = zlib.decompress(record)
    assert b'"groups":[' in text
    text = text.replace(b'"groups":[', b'"groups":[' + (group + b",") * 20_000, 1)
    edit(state_dir, "UPDATE reading SET record = ?", zlib.compress(text, 9))


def _the_same_again(state_dir: Path) -> None:
    # As many steps back as forth: few sessions as it seems, and hundreds of thousands once rebuilt.
    parts = [[0, 96], [0, -96]] * 2_600
    _retell(state_dir, {"parts": parts, "drift": [0] * (96 * 2_600)})


def _one_turned_often(state_dir: Path) -> None:
    _retell(state_dir, {"parts": [[0, None, None, 0.0, False]] * 600_000})


def _many_mistakes(state_dir: Path) -> None:
    _retell(state_dir, {"parts": [[]] * 290_000})


def _many_strangers(state_dir: Path) -> None:
    _retell(state_dir, {"services": {str(number): 0 for number in range(290_000)}})


def _retell(state_dir: Path, later: dict[str, object]) -> None:
    """Change how surveys are told by those before."""
    with closing(sqlite3.connect(state_dir / NAME, isolation_level=None)) as db:
        told = 0
        for row, packed in db.execute("SELECT id, deliberation FROM reading").fetchall():
            deliberation = json.loads(zlib.decompress(packed))
            if "later" in deliberation and told < 8:
                told += 1
                deliberation["later"] |= later
                text = json.dumps(deliberation, separators=(",", ":")).encode()
                db.execute("UPDATE reading SET deliberation = ? WHERE id = ?", (zlib.compress(text), row))
    assert told, "none was told by what had changed"


def _other_kinds(state_dir: Path) -> None:
    edit(state_dir, "UPDATE reading SET record = zeroblob(0) WHERE id % 3 = 0")
    edit(state_dir, "UPDATE reading SET record = x'00ff' WHERE id % 3 = 1")
    edit(state_dir, "UPDATE reading SET record = ? WHERE id % 3 = 2", zlib.compress(b'{"at": [[[]]]}'))


def _no_zone(state_dir: Path) -> None:
    with closing(sqlite3.connect(state_dir / NAME, isolation_level=None)) as db:
        for row, record in db.execute("SELECT id, record FROM reading").fetchall():
            text = zlib.decompress(record).replace(b'Z"', b'"')
            db.execute("UPDATE reading SET record = ? WHERE id = ?", (zlib.compress(text), row))


def _torn(state_dir: Path) -> None:
    with closing(sqlite3.connect(state_dir / NAME)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (state_dir / NAME).stat().st_size
    with (state_dir / NAME).open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 2))


def _endless(state_dir: Path) -> None:
    with closing(sqlite3.connect(state_dir / NAME, isolation_level=None)) as db:
        db.execute("DROP TABLE reading")
        db.execute(
            "CREATE VIEW reading AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
            " SELECT id, 'shop' AS database, 'enforce' AS mode, -id AS at, 0 AS steady, 0 AS used,"
            " CASE WHEN id < 0 THEN 'shop-1' END AS story, NULL AS record, NULL AS deliberation FROM n"
        )


SPOILS = (
    *(_bomb, _large_bomb, _crowd, _the_same_again, _one_turned_often, _many_mistakes, _many_strangers),
    *(_other_kinds, _no_zone, _torn, _endless),
)


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("command", [("history", "show", "shop-1"), ("replay",)])
def test_what_is_in_the_file_takes_no_more_than_agreed(
    state_dir: Path, spoil: Spoil, command: tuple[str, ...], figure: Figure
) -> None:
    """Damaged, or made by somebody who means ill.

    Given records of gigabytes, or that are none, a file that is torn, a query without an end,
    When the incident's story is asked for, or a replay,
    Then it ends, takes no more memory than for an honest file, and says in a line what could not be read.
    """
    spoil(state_dir)
    said = remediator(state_dir, *command, "--format", "text")
    figure("memory", f"{said.peak} MB")
    assert "Traceback" not in said.err
    assert said.peak < PLENTY
    told = " ".join((said.out + said.err).split())  # wherever its lines end
    unread = spoil is _the_same_again and command[0] == "history"  # surveys of which it asks for none
    assert (
        spoil is _crowd or unread or any(word in told for word in ("could not be read", "recording.db: "))
    ), told
    if command[0] == "history":
        assert said.code == 0
        assert "96 of 97" in said.out, "the ledger's part is shown whatever is in the recording"


def _nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "not there")


def _elsewhere(path: Path) -> None:
    path.with_name("secret").write_text("what is none of ours")
    path.symlink_to(path.with_name("secret"))


@pytest.mark.parametrize("put", [_nowhere, _elsewhere, Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("command", [("history", "show", "shop-1"), ("replay",)])
def test_what_is_no_file_is_not_followed(
    state_dir: Path, put: Callable[[Path], None], command: tuple[str, ...]
) -> None:
    """Something else in the file's place.

    Given a link, a directory or a pipe where the recording should be,
    When the incident's story is asked for, or a replay,
    Then nothing is read through it, nothing waits for it, and a line says what is there.
    """
    shutil.move(state_dir / NAME, state_dir / "away")
    put(state_dir / NAME)
    said = remediator(state_dir, *command, "--format", "text")
    told = " ".join((said.out + said.err).split())  # wherever its lines end
    assert "is not a regular file" in told
    assert "Traceback" not in told
    assert "none of ours" not in told
    if command[0] == "history":
        assert said.code == 0
        assert "96 of 97" in said.out


def test_a_long_story_is_told_whole(state_dir: Path, figure: Figure) -> None:
    """An incident of many looks.

    Given an incident with thousands of looks, each with a survey,
    When its story is asked for,
    Then all of it is told, in the memory that a short one takes.
    """
    short = remediator(state_dir, "history", "show", "shop-1", "--format", "json")
    columns = "mode, database, used, story, marked, record, deliberation"
    with closing(sqlite3.connect(state_dir / NAME, isolation_level=None)) as db:
        for _ in range(5):
            db.execute(
                f"INSERT INTO reading ({columns}, at, steady)"  # noqa: S608  ours
                f" SELECT {columns}, at + 1, steady + 1 FROM reading"
            )
    said = remediator(state_dir, "history", "show", "shop-1", "--format", "json")
    assert said.code == 0
    assert said.out.count('"trouble": null') >= 32 * LOOKS
    figure("memory for a story, and for one 32 times as long", f"{short.peak} and {said.peak} MB")
    assert said.peak < PLENTY


def _leaves(
    value: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Every plain value inside of another, with where it is."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _impossible(value: object) -> list[object]:
    """Values of the same kind that no world has."""
    match value:
        case bool() | None:
            return [5, "x"]
        case int() | float():
            return [10**400, -(10**18), -1, 0, 1e308]
        case str() if value[:2] == "20":
            return [value.rstrip("Z"), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9998-12-31T23:59:59"]
        case str() if value[:1] == "P":
            return ["P999999999D", "-P999999999D"]
    return ["", "critical", "\x1b[31m"]


def test_impossible_values_deep_inside_end_nothing_with_an_error(
    state_dir: Path, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    """Readings that are valid in form and tell of what cannot be.

    Given, for each value that a reading has, a recording with impossible ones in its place,
    When the incident's story is asked for, and a replay,
    Then both end in order, with what could be read.
    """
    edit(state_dir, "DELETE FROM reading WHERE id > 6")
    with closing(sqlite3.connect(state_dir / NAME)) as db:
        rows = db.execute("SELECT id, record, deliberation FROM reading").fetchall()
    # What an honest reading has only at times: a sample that was renewed, orders, the server's counters.
    honest = [(row, *(json.loads(zlib.decompress(packed)) for packed in parts)) for row, *parts in rows]
    for _, record, deliberation in honest:
        at, sample = record["sample"]["moment"]["at"], record["sample"]
        sample["groups"][0]["count"] = 10
        sample["counters"] = {"begun": 5, "abandoned": 1, "fatal": 1, "killed": 1}
        record["renewed"] = copy.deepcopy(sample)
        record["orders"] = {
            "pause": {"since": at, "until": at},
            "locks": [{"scope": "x", "since": at, "reason": ""}],
        }
        del deliberation.get("survey", {}).get("sessions", [])[2:]
    kinds = {
        tuple("#" if isinstance(key, int) else key for key in (part, *path)): (part, path, value)
        for reading in honest
        for part in (1, 2)
        for path, value in _leaves(reading[part])
    }
    for part, path, value in kinds.values():
        with closing(sqlite3.connect(state_dir / NAME, isolation_level=None)) as db:
            for place, reading in enumerate(copy.deepcopy(honest)):
                _put(reading[part], path, _impossible(value)[place % len(_impossible(value))])
                packed = [zlib.compress(json.dumps(inner).encode()) for inner in reading[1:]]
                db.execute(
                    "UPDATE reading SET record = ?, deliberation = ? WHERE id = ?", (*packed, reading[0])
                )
        for command in (("history", "show", "shop-1"), ("replay",)):
            code = run([*command, "--config", str(state_dir / "config.yaml")])
            said = capsys.readouterr()
            assert code in (0, 1, 3), (path, said.err)
            assert command[0] == "replay" or "96 of 97" in said.out
    figure("values that were forged", str(len(kinds)))
    assert len(kinds) > 60


def _put(inside: Any, path: Sequence[Any], value: object) -> None:
    """Put a value where there is one."""
    *way, last = path
    for key in way:
        inside = inside[key] if isinstance(inside, list) or key in inside else {}
    if isinstance(inside, list) or last in inside:
        inside[last] = value
