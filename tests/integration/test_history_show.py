"""Which incident `history show` is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from remediator import cli
from remediator.adapters.ledger import SqliteLedger
from remediator.cli.exits import Exit
from remediator.core.model import Mode
from tests.builders import make_incident

BOTH = ("20300101T000000.000-shop", "20300102T000000.000-shop")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config whose ledger has two incidents."""
    tmp_path.chmod(0o700)
    asyncio.run(_write(tmp_path, BOTH))
    path = tmp_path / "config.yaml"
    path.write_text(
        "version: 1\nmode: enforce\nstate_dir: .\ndatabases: [{name: shop, dsn: 'postgresql://db/x'}]\n"
    )
    path.chmod(0o600)
    return str(path)


async def _write(state_dir: Path, ids: Sequence[str]) -> None:
    store = SqliteLedger(state_dir, Mode.ENFORCE)
    try:
        for identity in ids:
            await store.save_incident(make_incident(id=identity))
    finally:
        await store.close()


def test_a_beginning_that_is_not_enough_lists_what_begins_so(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with why it was opened, for whoever has to choose."""
    assert cli.run(["history", "show", "2030", "--config", config]) == Exit.FAILED
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "2 incidents begin with 2030 (enforce):"
    assert [line.split(":")[0].strip() for line in said[1:]] == list(BOTH)


def test_one_that_is_meant_is_shown_and_none_is_said_to_be_none(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By as much of its name as tells it from the others."""
    assert cli.run(["history", "show", "20300102", "--format", "text", "--config", config]) == Exit.OK
    assert capsys.readouterr().out.startswith(f"Incident {BOTH[1]}\n")
    assert cli.run(["history", "show", "1999", "--config", config]) == Exit.FAILED
    assert capsys.readouterr().err.startswith("no incident 1999 (enforce)")


def test_the_last_one_of_none_is_not_called_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new installation has none yet."""
    path = tmp_path / "config.yaml"
    path.write_text("version: 1\nstate_dir: .\ndatabases: [{name: shop, dsn: 'postgresql://db/x'}]\n")
    path.chmod(0o600)
    assert cli.run(["history", "show", "last", "--config", str(path)]) == Exit.FAILED
    assert capsys.readouterr().err.splitlines()[-1].startswith("no incident yet (dry-run)")
