"""Commands that look and change nothing: `check`, `plan`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import click

from remediator import render
from remediator.adapters import heartbeat
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger, has_ledger
from remediator.adapters.postgres import PostgresDatabase
from remediator.adapters.recording import SqliteRecording
from remediator.cli.common import (
    config_option,
    format_option,
    mode_asked,
    mode_option,
    no_ledger,
    print_json,
    print_lines,
    quiet_logs,
    say,
    settings_from,
)
from remediator.cli.exits import Exit
from remediator.config import Settings
from remediator.core.assess import Assessment, Watch, assess
from remediator.core.budgets import Standing
from remediator.core.model import Level, Mode, Moment, Sample
from remediator.core.server import Holder
from remediator.core.trend import NO_TREND, WINDOW, recalled
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.turn import Turn
from remediator.cycle import Cycle, read_standing
from remediator.errors import LedgerError, RecordingError, UnavailableError
from remediator.looking import looking


@click.command()
@config_option
@format_option("text", "json", "nagios")
def check(config: Path | None, form: str) -> int:
    """Take one sample of each database and say its level and why.

    The level is what this one sample shows; the daemon enters it once it has lasted (`for:`). Growth
    and churn are told where a daemon has recorded the minutes before; so is what it read last, where
    the server is full and lets only those in who were there before. What keeps a daemon from acting,
    such as a pause or a lock, is said and changes no exit code.

    \b
    Exit codes: 0 normal, 1 monitor or alert, 2 critical, 3 not known
    (the worst of all databases), 78 the config is wrong.
    """
    settings = settings_from(config)
    quiet_logs(settings)
    mode = mode_asked(settings)
    looks = asyncio.run(_check(settings))
    if form == "nagios":
        policies = {d.name: d.policy for d in settings.databases}
        print_lines(render.nagios_lines({name: (look, policies[name]) for name, look in looks.items()}))
    for name, look in looks.items():
        if form == "json":
            print_json([render.assessment_record(name, look)])
        elif form == "text":
            print_lines(render.assessment_lines(name, look, mode))
    return max((_code(look.assessment) for look in looks.values()), key=_SEVERITY.index)


_SILENT = timedelta(seconds=90)  # without a reading for so long, no daemon reads the server
# The order of severity is not that of the numbers: a known critical is worse than not knowing.
_SEVERITY = (Exit.OK, Exit.FAILED, Exit.UNKNOWN, Exit.CRITICAL)


def _code(assessment: Assessment) -> Exit:
    level = render.shown_level(assessment)
    if level is Level.CRITICAL:
        return Exit.CRITICAL
    if render.shown_unknown(assessment):
        return Exit.UNKNOWN
    return Exit.OK if level is Level.NORMAL else Exit.FAILED


async def _check(settings: Settings) -> dict[str, render.Look]:
    now = SystemClock().now()
    async with looking(settings, settings.mode) as (world, cycles, store):
        recording = asyncio.ensure_future(_recorded(settings, now.at))
        orders = [asyncio.ensure_future(_orders(store, cycle, now)) for cycle in cycles]
        found = await asyncio.gather(*(cycle.look(now) for cycle in cycles))
        recorded = await recording
        looks = {}
        for cycle, assessment, order in zip(cycles, found, orders, strict=True):
            name = cycle.database.name
            judged, last = _with_recorded(cycle, assessment, recorded[name])
            # A server that cannot be read is not waited for once more.
            holder = await _holder(world.databases[name]) if judged.sample.server is not None else None
            looks[name] = render.Look(judged, cycle.maintenance(now), holder, last, *await order)
        return looks


async def _orders(store: SqliteLedger, cycle: Cycle, now: Moment) -> tuple[Standing | None, str]:
    """What is in force, or why that is not known."""
    try:
        return await read_standing(store, cycle.database.name, cycle.policy, now), ""
    except LedgerError as error:  # what the server shows is as good without
        return None, str(error)


async def _holder(database: PostgresDatabase) -> Holder | None:
    try:
        return await database.holder()
    except UnavailableError:  # gone since the sample
        return None


async def _recorded(settings: Settings, until: datetime) -> dict[str, list[Sample]]:
    """What a daemon beside us saw of each database in the last minutes; nothing where that cannot be read."""
    found: dict[str, list[Sample]] = {database.name: [] for database in settings.databases}
    recording = SqliteRecording(settings.state_dir, settings.mode)
    try:
        for name in found:
            readings = await recording.readings(name, until - timedelta(seconds=WINDOW), until)
            found[name] = [reading.renewed or reading.sample for reading in readings]
    except (RecordingError, OSError):
        pass  # it only adds to what is seen now
    finally:
        await recording.close()
    return found


def _with_recorded(
    cycle: Cycle, assessment: Assessment, before: Sequence[Sample]
) -> tuple[Assessment, Assessment | None]:
    """Judge a look anew by what was recorded before it, and find the last reading where it has none."""
    if assessment.sample.slots is None:
        return assessment, _from_inside(cycle, assessment.sample, before)
    # The daemon may have ended some since.
    sample = replace(assessment.sample, trend=NO_TREND, signalled=None)
    return _judged(cycle, sample, before) if recalled(before, sample).readings else assessment, None


def _from_inside(cycle: Cycle, shut_out: Sample, before: Sequence[Sample]) -> Assessment | None:
    """What a daemon reads that was connected before the server was full, if one does."""
    full = shut_out.trouble is not None and shut_out.trouble.kind is TroubleKind.FULL
    since = shut_out.moment.at - _SILENT
    read = [sample for sample in before if sample.slots is not None and sample.moment.at > since]
    return _judged(cycle, read[-1], before) if full and read else None


def _judged(cycle: Cycle, sample: Sample, before: Sequence[Sample]) -> Assessment:
    return assess(cycle.policy, Watch(trend=recalled(before, sample)), sample)


@click.command()
@config_option
@mode_option
@format_option("text", "json")
@click.option("--all", "every", is_flag=True, help="List every session that is spared, not only how many.")
def plan(config: Path | None, mode: str | None, form: str, *, every: bool) -> int:
    """Say what would happen if critical were confirmed now, and why.

    Every session and every container is listed with the decision: act or hold, with the reason. Uses
    the budgets, cooldowns, pause, locks and maintenance windows of the configured mode. Changes nothing.

    \b
    Exit codes: 0 there is a plan, 3 a database's state is not known,
    78 the config is wrong.
    """
    settings = settings_from(config)
    quiet_logs(settings)
    chosen = mode_asked(settings, mode)
    if not has_ledger(settings.state_dir):
        say(no_ledger(settings), err=True)
    turns = asyncio.run(_plan(settings, chosen))
    for name, turn in turns.items():
        if turn.plan is None:
            continue
        shown = (name, turn.assessment, turn.plan, turn.standing)
        if form == "json":
            print_json([render.plan_record(*shown, turn.incident)])
        else:
            more = _elsewhere(settings, chosen, turn)
            lines = render.plan_lines(
                *shown, every=every, incident=turn.incident, elsewhere=more, mode=chosen
            )
            print_lines(lines)
    unknown = any(render.shown_unknown(turn.assessment) for turn in turns.values())
    return Exit.UNKNOWN if unknown else Exit.OK


def _elsewhere(settings: Settings, mode: Mode, turn: Turn) -> str:
    """Where the plan of a daemon is that sees more, because it was connected before we were refused."""
    unread = turn.survey is not None and isinstance(turn.survey.sessions, Trouble)
    blind = unread or turn.assessment.sample.slots is None
    if turn.incident is None or not blind or mode is not settings.mode:
        return ""
    if heartbeat.read(settings.state_dir, SystemClock().now().at).pulse is not heartbeat.Pulse.FRESH:
        return ""
    page = " and on the status page" if settings.web else ""
    return f"the daemon may see more; its own plan is in `remediator history show {turn.incident.id}`{page}"


async def _plan(settings: Settings, mode: Mode) -> dict[str, Turn]:
    now = SystemClock().now()
    async with looking(settings, mode) as (_, cycles, _store):
        found = await asyncio.gather(*(cycle.look_ahead(now) for cycle in cycles))
        return {c.database.name: turn for c, turn in zip(cycles, found, strict=True)}
