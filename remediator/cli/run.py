"""`remediator run`: the daemon."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

import click

from remediator import __version__, log
from remediator.adapters.clock import SystemClock
from remediator.adapters.everyone import Everyone
from remediator.app import assembled
from remediator.auditing import auditing_beside
from remediator.cli.common import config_option, mode_of, mode_option, settings_from
from remediator.config import Settings
from remediator.core.events import Event
from remediator.core.model import Mode
from remediator.core.plan import Objection
from remediator.daemon import once as run_once
from remediator.errors import LedgerError

# For a reader of the log that is slow: a service manager waits much longer for the end of a service.
_LAST_WORDS = 2.0
# With --once there is no next start soon that would send what waits.
_LAST_ATTEMPTS = 20.0


@click.command()
@config_option
@mode_option
@click.option("--once", is_flag=True, help="One cycle for each database, verification included, then exit.")
def run(config: Path | None, mode: str | None, *, once: bool) -> None:
    """Watch, and once critical is confirmed relieve. Dry run unless the config or --mode says enforce.

    In a dry run everything is decided, recorded and logged as if it were done, and nothing is done.

    Logs to standard output: readable on a terminal, JSON lines elsewhere. SIGTERM and SIGINT end it,
    SIGHUP reads the policies anew. An action in flight at the end is settled by the next start.

    While the state directory cannot be used, the daemon observes only, says so, and tries again with
    each cycle.

    \b
    Exit codes: 0 ended on purpose, 74 the state directory cannot be used (with --once),
    75 another daemon uses it, 78 the config is wrong.
    """
    settings = settings_from(config, thorough=True)
    with log.in_background(
        settings.log.format,
        settings.log.level,
        [secret.reveal() for secret in settings.secrets],
        last_words=None if once else _LAST_WORDS,
    ):
        asyncio.run(_run(settings, mode_of(settings, mode), config, once=once))


async def _run(settings: Settings, mode: Mode, config: Path | None, *, once: bool) -> None:
    observer = Everyone(log.LogObserver())
    load, patience = partial(settings_from, config, thorough=True), _LAST_ATTEMPTS if once else _LAST_WORDS
    async with assembled(settings, mode, observer, os.environ, load, patience) as (daemon, cycles):
        observer.emit(
            Event.DAEMON_STARTED,
            mode=mode.value,
            version=__version__,
            config=str(settings.source),
            databases=[d.name for d in settings.databases],
            services=[s.service.name for s in settings.services],
        )
        if once:
            clock = SystemClock()
            turns = await asyncio.gather(*(run_once(cycle, clock) for cycle in cycles))
            for turn in turns:
                if turn.plan is not None and Objection.LEDGER_UNAVAILABLE in turn.plan.objections:
                    raise LedgerError(turn.plan.detail)
        else:
            async with auditing_beside(settings, cycles, mode, observer):
                await daemon.run()
