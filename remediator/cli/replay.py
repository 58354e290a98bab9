"""`remediator replay`: another policy over what was recorded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from remediator import render
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger
from remediator.adapters.recording import SqliteRecording
from remediator.cli.common import (
    config_option,
    format_option,
    mode_of,
    mode_option,
    print_json,
    print_lines,
    quiet_logs,
    say,
    settings_from,
)
from remediator.cli.exits import Exit
from remediator.cli.types import DURATION
from remediator.config import Settings, load
from remediator.core.model import Mode
from remediator.ports import KEEP_RECORDS
from remediator.replay import Comparison, Rerun, Script

# So that levels are in force, and incidents under way are over or known, when the time asked for begins.
_LEAD = timedelta(hours=1)


@click.command()
@config_option
@mode_option
@format_option("text", "json")
@click.option(
    "--policy",
    "other",
    type=click.Path(path_type=Path, readable=False),
    help="The config file whose policies are tried. Without it: the config itself.",
)
@click.option("--since", type=DURATION, default="7d", show_default=True, help="How far to look back.")
@click.option("--until", type=DURATION, default="0s", show_default=True, help="How long ago to stop.")
@click.option("--database", "only", help="Of this database only.")
def replay(
    config: Path | None,
    mode: str | None,
    form: str,
    other: Path | None,
    since: timedelta,
    until: timedelta,
    only: str | None,
) -> int:
    """Show what another policy would have decided, next to what was decided then.

    Runs the policies of another config over what the daemon recorded, through the very code that decides in
    the daemon. Reads the recording and the ledger of the configured mode; touches no database and no service.

    Lines marked `!` differ, lines marked `=` do not. The recorded world did not react to the other policy:
    what it would have done after its first action is a guess.

    \b
    Exit codes: 0 the same is opened, done and held, 1 something differs,
    3 nothing was recorded, 78 a config is wrong.
    """
    if until >= since:
        raise click.UsageError("--until is how long ago to stop: it must be shorter than --since")
    settings = settings_from(config, secrets=False)
    quiet_logs(settings)
    tried = load(other, os.environ, secrets=False) if other is not None else settings
    names = [d.name for d in tried.databases]
    if only is not None and only not in names:
        raise click.BadParameter(f"{only!r} is not among {', '.join(names)}", param_hint="--database")
    _say_unmatched([d.name for d in settings.databases], names)
    found = asyncio.run(_replay(settings, tried, mode_of(settings, mode), (since, until), only))
    for replayed in found:
        if form == "json":
            print_json([render.replay_record(replayed)])
        else:
            print_lines(render.replay_lines(replayed))
    if not any(replayed.span.number for replayed in found):
        return Exit.UNKNOWN
    return Exit.FAILED if any(replayed.differs for replayed in found) else Exit.OK


def _say_unmatched(recorded: Sequence[str], tried: Sequence[str]) -> None:
    """Say which databases only one of the configs names: readings are found by the name."""
    for name in (name for name in recorded if name not in tried):
        say(f"{name}: not replayed, the other config has no database of this name", err=True)
    for name in (name for name in tried if name not in recorded):
        say(f"{name}: only in the other config; recorded are {', '.join(recorded)}", err=True)


async def _replay(
    settings: Settings, tried: Settings, mode: Mode, ago: tuple[timedelta, timedelta], only: str | None
) -> list[render.Replayed]:
    now = SystemClock().now().at
    since, until = now - ago[0], now - ago[1]
    policies = {d.name: d.policy for d in tried.databases}
    services = {s.service.name: s.service for s in tried.services}
    told = {name: Comparison(name, policy, since) for name, policy in policies.items()}
    recording = SqliteRecording(settings.state_dir, mode)
    store = SqliteLedger(settings.state_dir, mode, read_only=True)
    try:
        incidents, entries = await store.history(now - KEEP_RECORDS)
        readings = [recording.whole(name, since - _LEAD, until) for name in policies]
        # All of them, whatever is shown: they share services, and so budgets.
        again = Rerun(Script(readings, incidents, entries, policies, services, mode))
        async for before, after in again.play():
            told[before.database].read(before, after)
    finally:
        await recording.close()
        await store.close()
    shown = [name for name in policies if only in (None, name)]
    return [told[name].told(entries, again.entries, recording.damaged) for name in shown]
