"""`remediator history`: what was done, and the whole story of one incident."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from remediator import render
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger, has_ledger
from remediator.adapters.recording import SqliteRecording
from remediator.cli.common import (
    config_option,
    format_option,
    mode_asked,
    mode_of_daemon,
    mode_option,
    no_ledger,
    page_width,
    print_json,
    print_lines,
    quiet_logs,
    say,
    settings_from,
)
from remediator.cli.exits import Exit
from remediator.cli.types import DURATION
from remediator.config import Settings
from remediator.core.budgets import Standing
from remediator.core.course import held_by
from remediator.core.deposition import Deposition
from remediator.core.ledger import Entry, Incident
from remediator.core.model import Mode
from remediator.core.plan import RestartReplica
from remediator.core.text import count
from remediator.cycle import read_standing
from remediator.errors import RecordingError
from remediator.recurrence import window_at

# Between the intent and the question nothing is waited for, but a machine may be busy.
_ASKED_WITHIN = timedelta(seconds=30)
# Of those whose names begin alike, the latest.
_MOST = 20
_EVER = datetime.min.replace(tzinfo=UTC)


@click.group(invoke_without_command=True)
@click.pass_context
@config_option
@mode_option
@format_option("text", "json")
@click.option("--since", type=DURATION, default="7d", show_default=True, help="How far to look back.")
def history(
    context: click.Context, config: Path | None, mode: str | None, form: str, since: timedelta
) -> int:
    """Show incidents, what was done in each and what came of it, from the ledger.

    Oldest first; then what is in force now: maintenance, a pause, locks, and what is left of each limit.
    In JSON that is the last line, of kind `standing`.
    """
    if context.invoked_subcommand is not None:
        return Exit.OK
    settings = settings_from(config, secrets=False)
    quiet_logs(settings)
    now = SystemClock().now().at
    windows = {d.name: window_at(d.policy.maintenance, now) for d in settings.databases}
    chosen = mode_asked(settings, mode)
    incidents, entries, standings = asyncio.run(_history(settings, chosen, since))
    by_incident = {i.id: [e for e in entries if e.intent.incident == i.id] for i in incidents}
    if form == "json":
        print_json(render.history_record(i, by_incident[i.id]) for i in incidents)
        print_json([render.standing_record(standings.values(), windows, chosen)])
        return Exit.OK
    if not incidents:
        say(asyncio.run(_no_incidents(settings, chosen, since)))
    left = "" if chosen is (runs := mode_of_daemon(settings)) else render.left_open(runs)
    for incident in incidents:
        name = incident.database
        held = held_by(name, standings.get(name), windows.get(name))
        print_lines(render.history_lines(incident, by_incident[incident.id], chosen, now, held, left))
    print_lines(render.standing_lines(standings, windows))
    return Exit.OK


async def _history(
    settings: Settings, mode: Mode, since: timedelta
) -> tuple[tuple[Incident, ...], tuple[Entry, ...], dict[str, Standing]]:
    now = SystemClock().now()
    store = SqliteLedger(settings.state_dir, mode, read_only=True)
    try:
        incidents, entries = await store.history(now.at - since)
        standings = {d.name: await read_standing(store, d.name, d.policy, now) for d in settings.databases}
        return incidents, entries, standings
    finally:
        await store.close()


async def _no_incidents(settings: Settings, mode: Mode, since: timedelta) -> str:
    """Say that there is nothing, and where else there may be something."""
    if not has_ledger(settings.state_dir):
        return no_ledger(settings)
    other = Mode.DRY_RUN if mode is Mode.ENFORCE else Mode.ENFORCE
    incidents, _, standings = await _history(settings, other, since)
    locks = {lock.scope for standing in standings.values() for lock in standing.locks}
    if not incidents and not locks:
        return f"no incidents ({mode})"
    found = f"{count(len(incidents), 'incident')} and {count(len(locks), 'lock')}"
    return f"no incidents ({mode}); {found} in {other}: --mode {other}"


@history.command()
@click.pass_context
@config_option
@mode_option
@format_option("text", "json", "md")
@click.argument("incident", metavar="ID")
def show(context: click.Context, config: Path | None, mode: str | None, form: str, incident: str) -> int:
    """Tell the story of one incident, with its evidence.

    Who held what before it, when it opened, at its worst and after it; what happened; each act and each hold
    with its reason; what came of it. ID is what `history` shows, its beginning, or `last`.

    \b
    Exit codes: 0 it is shown, 1 there is no such incident, 78 the config is wrong.
    """
    above = context.parent.params if context.parent else {}
    settings = settings_from(config or above.get("config"), secrets=False)
    quiet_logs(settings)
    chosen = mode_asked(settings, mode or above.get("mode"))
    bundle = asyncio.run(_bundle(settings, chosen, incident))
    if isinstance(bundle, tuple):
        _say_which(incident, bundle, chosen)
        return Exit.FAILED
    if form == "json":
        print_json([render.bundle_record(bundle)])
    else:
        how = asyncio.run(_stands(settings, chosen, bundle.incident))
        print_lines(render.bundle_lines(bundle, markdown=form == "md", width=page_width(), stands=how))
    return Exit.OK


async def _stands(settings: Settings, mode: Mode, incident: Incident) -> str:
    """What keeps an open incident from going on now; empty when nothing does."""
    runs = mode_of_daemon(settings)
    if runs is not mode:
        return render.left_open(runs)
    if incident.relieved_at is not None:  # there is nothing to hold
        return ""
    now = SystemClock().now()
    _, _, standings = await _history(settings, mode, timedelta())
    policies = {d.name: d.policy for d in settings.databases}
    policy = policies.get(incident.database)
    window = window_at(policy.maintenance, now.at) if policy else None
    return held_by(incident.database, standings.get(incident.database), window)


def _say_which(wanted: str, found: Sequence[Incident], mode: Mode) -> None:
    """Say that no incident is meant, or which ones may be."""
    if not found:
        which = "no incident yet" if wanted == "last" else f"no incident {wanted}"
        say(f"{which} ({mode}); `remediator history` lists them", err=True)
        return
    say(f"{len(found)} incidents begin with {wanted} ({mode}):", err=True)
    for incident in found[-_MOST:]:
        say(f"  {incident.id}: {incident.because}", err=True)
    if len(found) > _MOST:
        say(f"  and {len(found) - _MOST} before them; `remediator history` lists them", err=True)


async def _bundle(settings: Settings, mode: Mode, wanted: str) -> render.Bundle | tuple[Incident, ...]:
    """The story of the incident that is meant; or all that may be meant, when that is not one."""
    store = SqliteLedger(settings.state_dir, mode, read_only=True)
    try:
        incidents, entries = await store.history(_EVER)
    finally:
        await store.close()
    found = [i for i in incidents if i.id == wanted] or [i for i in incidents if i.id.startswith(wanted)]
    if wanted == "last":
        found = list(incidents[-1:])
    if len(found) != 1:
        return tuple(found)
    (incident,) = found
    own = [entry for entry in entries if entry.intent.incident == incident.id]
    return await _with_evidence(SqliteRecording(settings.state_dir, mode), incident, own, mode)


async def _with_evidence(
    recording: SqliteRecording, incident: Incident, entries: list[Entry], mode: Mode
) -> render.Bundle:
    """Put together what the ledger has and what can be read of the recording."""
    gathering = render.Gathering(incident)
    told: list[Deposition] = []
    missing: list[str] = []
    try:
        for entry in entries:
            told += await _depositions(recording, entry)
        async for reading in recording.story(incident.id):
            gathering.read(reading)
    except RecordingError as error:
        missing.append(f"not all of it could be read: {error}")
    finally:
        await recording.close()
    if recording.damaged:
        missing.append(f"{count(recording.damaged, 'reading')} could not be read and are left out")
    return gathering.bundle(entries, mode, told, missing)


async def _depositions(recording: SqliteRecording, entry: Entry) -> tuple[Deposition, ...]:
    action, at = entry.intent.action, entry.intent.at
    if not isinstance(action, RestartReplica):
        return ()
    return await recording.depositions(action.replica.id, at, at + _ASKED_WITHIN)
