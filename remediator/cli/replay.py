"""`remediator replay`: another policy over what was recorded."""

from __future__ import annotations

import asyncio
import os
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
    settings_from,
)
from remediator.cli.exits import Exit
from remediator.cli.types import DURATION
from remediator.config import Settings, load
from remediator.core.model import Mode
from remediator.core.reading import Reading, fingerprint
from remediator.core.story import side_by_side, story
from remediator.ports import KEEP_RECORDS
from remediator.replay import Script, rerun

# So that levels are in force, and incidents under way are over or known, when the time asked for begins.
_LEAD = timedelta(hours=1)


@click.command()
@config_option
@mode_option
@format_option("text", "json")
@click.option(
    "--policy",
    "other",
    type=click.Path(path_type=Path),
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
    settings = settings_from(config)
    quiet_logs(settings)
    tried = load(other, os.environ) if other is not None else settings
    names = [d.name for d in tried.databases]
    if only is not None and only not in names:
        raise click.BadParameter(f"{only!r} is not among {', '.join(names)}", param_hint="--database")
    found = asyncio.run(_replay(settings, tried, mode_of(settings, mode), (since, until), only))
    for replayed in found:
        if form == "json":
            print_json([render.replay_record(replayed)])
        else:
            print_lines(render.replay_lines(replayed))
    if not any(replayed.readings for replayed in found):
        return Exit.UNKNOWN
    return Exit.FAILED if any(replayed.differs for replayed in found) else Exit.OK


async def _replay(
    settings: Settings, tried: Settings, mode: Mode, ago: tuple[timedelta, timedelta], only: str | None
) -> list[render.Replayed]:
    now = SystemClock().now().at
    since, until = now - ago[0], now - ago[1]
    policies = {d.name: d.policy for d in tried.databases}
    recording = SqliteRecording(settings.state_dir, mode)
    store = SqliteLedger(settings.state_dir, mode, read_only=True)
    try:
        readings = [r for name in policies for r in await recording.whole(name, since - _LEAD, until)]
        incidents, entries = await store.history(now - KEEP_RECORDS)
    finally:
        await recording.close()
        await store.close()
    readings.sort(key=lambda reading: (reading.sample.moment.steady, reading.database))
    services = {s.service.name: s.service for s in tried.services}
    # All of them, whatever is shown: they share services, and so budgets.
    again = await rerun(Script(readings, incidents, entries, policies, services, mode))
    shown = [name for name in policies if only in (None, name)]
    return [
        render.Replayed(
            database=name,
            readings=[r for r in again.before if r.database == name and r.at >= since],
            policy=(policies[name].name, fingerprint(policies[name])),
            cutoffs=policies[name].cutoffs,
            rows=tuple(
                row
                for row in side_by_side(
                    story(_of(name, again.before), entries), story(_of(name, again.after), again.entries)
                )
                if row.at >= since
            ),
        )
        for name in shown
    ]


def _of(database: str, readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
    return tuple(reading for reading in readings if reading.database == database)
