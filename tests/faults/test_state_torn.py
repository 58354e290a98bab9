"""A ledger that is damaged at any byte: it is refused, or nothing is missing from it; it is never altered."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.adapters.ledger import SqliteLedger
from remediator.core.ledger import Ledger, Lock, Pause
from remediator.core.model import Mode
from remediator.errors import LedgerError
from tests.faults.conftest import Figure
from tests.testbed.ledger import DAY, NOW, RESTART, closed, confirmed, incident, intent, terminate

INJURIES = 240
_FILES = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.mark")


async def _use(state_dir: Path) -> None:
    """Leave a ledger as kill -9 does: half of the records in the file, half in the log only."""
    store = SqliteLedger.open(state_dir, Mode.ENFORCE)
    for number in range(12):
        of = incident(f"i{number}", opened_at=NOW - timedelta(hours=number), step=number % 3)
        entries = await store.intend(of, [intent(terminate(pid), of=of.id) for pid in range(number, 20)])
        await store.conclude([(entry.id, confirmed()) for entry in entries])
        if number % 4:
            await store.save_incident(closed(of.id, of.opened_at, NOW))
        if number == 5:
            await store.close()
    await store.intend(incident("i0"), [intent(RESTART, of="i0")])
    await store.lock(Lock("service:api", NOW, "it crashed"))
    await store.pause(Pause(NOW, None, "deploy"))
    shutil.copytree(state_dir, state_dir.with_name("used"))
    await store.close()


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """The state directory of a process that was killed."""
    (tmp_path / "live").mkdir()
    asyncio.run(_use(tmp_path / "live"))
    return tmp_path / "used"


def _contents(state_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in state_dir.iterdir() if not path.name.endswith("-shm")}


async def _read(state_dir: Path) -> Ledger:
    store = SqliteLedger(state_dir, Mode.ENFORCE)
    try:
        return await store.load(NOW - DAY)
    finally:
        await store.close()


def _injure(path: Path, chance: random.Random) -> str:
    """Damage a file somewhere, and say how."""
    size = path.stat().st_size
    position = chance.randrange(size)
    with path.open("r+b") as file:
        match chance.choice(["cut", "flip", "flip", "zeros", "noise"]):
            case "cut":
                file.truncate(position)
                return f"{path.name} cut at {position}"
            case "flip":
                file.seek(position)
                (byte,) = file.read(1)
                flipped = byte ^ (1 << chance.randrange(8))
                file.seek(position)
                file.write(bytes([flipped]))
                return f"{path.name} byte {position} from {byte} to {flipped}"
            case "zeros":
                file.seek(position)
                file.write(bytes(min(512, size - position)))
                return f"{path.name} zeros from {position}"
            case _:
                file.seek(position)
                file.write(chance.randbytes(min(64, size - position)))
                return f"{path.name} noise from {position}"


async def test_damage_anywhere_never_loses_a_charge(used: Path, tmp_path: Path, figure: Figure) -> None:
    """Given a ledger in use, when one of its files is cut or altered, then it is refused or complete.

    What is refused is left byte for byte as it was found, for a person to look at.
    """
    seed = random.SystemRandom().randrange(1_000_000)
    chance = random.Random(seed)  # noqa: S311  where to damage, not a secret
    shutil.copytree(used, tmp_path / "sound")
    sound = await _read(tmp_path / "sound")
    assert len(sound.entries) > 100
    assert sound.locks
    assert sound.pause
    came_to: Counter[str] = Counter()
    for number in range(INJURIES):
        state_dir = tmp_path / "injured"
        shutil.copytree(used, state_dir)
        injury = _injure(state_dir / _FILES[number % len(_FILES)], chance)
        before = _contents(state_dir)
        try:
            found = await _read(state_dir)
        except LedgerError:
            came_to["refused"] += 1
            kept = _contents(state_dir) == before
        else:
            came_to["complete"] += 1
            kept = found == sound
        assert kept, f"seed {seed}: {injury}: {came_to}"
        shutil.rmtree(state_dir)
    told = ", ".join(f"{number} {what}" for what, number in sorted(came_to.items()))
    figure("damaged ledgers", f"{told}, none with records missing")
    assert came_to["refused"] > INJURIES / 4
    assert came_to["complete"] > 0
