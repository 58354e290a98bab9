"""Commands with which an operator steers a running daemon: `pause`, `resume`, `ack`, `health`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import click

from remediator.adapters import heartbeat
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger
from remediator.cli.common import config_option, mode_asked, mode_option, say, settings_from
from remediator.cli.exits import Exit
from remediator.cli.types import DURATION
from remediator.config import Settings
from remediator.core.budgets import pause_text
from remediator.core.clock import stamped
from remediator.core.ledger import Pause
from remediator.core.model import Mode
from remediator.core.text import duration

_T = TypeVar("_T")


@click.command()
@config_option
@click.option(
    "--for", "length", type=DURATION, help="Ends by itself after this time. Without it: not before `resume`."
)
@click.option("--reason", default="", help="Shown wherever the pause is.")
def pause(config: Path | None, length: timedelta | None, reason: str) -> int:
    """Observe only: nothing is terminated or restarted until the pause ends.

    Takes effect with the next cycle, also in a daemon that is running. What is in flight is finished.
    There is one pause at a time: a new one takes the place of the one in force, whichever ends later.
    """
    if length is not None and not length:
        raise click.BadParameter(
            "must be longer than nothing; leave it out for a pause without end", param_hint="--for"
        )
    settings = settings_from(config, secrets=False)

    async def put_in_force(store: SqliteLedger) -> tuple[Pause, str]:
        now = stamped(SystemClock().now(), await store.clock())
        until, ends = (now.at + length, now.steady + length) if length else (None, None)
        order = Pause(now.at, until, reason, ends)
        before = (await store.load(now.steady)).pause
        await store.pause(order)
        held = before is not None and before.holds_at(now.steady)
        return order, pause_text(before, now.steady) if before is not None and held else ""

    order, before = _with_ledger(settings, settings.mode, put_in_force)
    until = f"until {order.until:%Y-%m-%d %H:%M:%S} UTC" if order.until else "until `remediator resume`"
    say(f"paused {until}")
    if before:
        say(f"this takes the place of the pause {before}")
    return Exit.OK


@click.command()
@config_option
def resume(config: Path | None) -> int:
    """End a pause."""
    settings = settings_from(config, secrets=False)
    was_paused = _with_ledger(settings, settings.mode, lambda store: store.resume())
    say("resumed" if was_paused else "was not paused")
    return Exit.OK


@click.command()
@config_option
@mode_option
def ack(config: Path | None, mode: str | None) -> int:
    """Acknowledge: unlock what was locked after remediation failed.

    A database is locked after rounds without relief, a service after a restart it did not come back
    from. They stay untouched until a person has looked; this says that one has, for everything locked
    in this mode.
    """
    settings = settings_from(config, secrets=False)
    chosen = mode_asked(settings, mode)
    locks = _with_ledger(settings, chosen, lambda store: store.acknowledge())
    for lock in locks:
        say(f"unlocked {lock.scope}: {lock.reason}")
    if not locks:
        say(f"nothing was locked ({chosen})")
    return Exit.OK


def _with_ledger(settings: Settings, mode: Mode, use: Callable[[SqliteLedger], Awaitable[_T]]) -> _T:
    async def used() -> _T:
        store = SqliteLedger.open(settings.state_dir, mode)
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(used())


@click.command(short_help="Tell whether the daemon's last completed cycle is recent.")
@config_option
def health(config: Path | None) -> int:
    """Tell whether the daemon's last completed cycle is recent; for a container's HEALTHCHECK.

    This is about the daemon's own life, not about the databases: one that cannot be read, or that is
    critical, is no reason to restart the daemon. `check` and the events tell of those. A database whose
    checks themselves no longer come to an end is named.

    \b
    Exit codes: 0 it is, 1 it is not, or there is no daemon.
    """
    settings = settings_from(config, secrets=False)
    status = heartbeat.read(settings.state_dir, SystemClock().now().at)
    age = f", last cycle {duration(status.age)} ago" if status.age is not None else ""
    say(f"{status.pulse}{age}" + (f": {status.detail}" if status.detail else ""))
    if status.standing_by:
        names = ", ".join(status.standing_by)
        say(f"standing by for {names}; `remediator check` names who has the right to act")
    mode_asked(settings)
    return Exit.OK if status.pulse is heartbeat.Pulse.FRESH else Exit.FAILED
