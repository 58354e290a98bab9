"""`remediator notify`: whether those who are to be told can be told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from remediator.adapters.clock import SystemClock
from remediator.adapters.notify import Target, try_out
from remediator.cli.common import config_option, mode_of, mode_option, quiet_logs, say, settings_from
from remediator.cli.exits import Exit
from remediator.core.model import Mode
from remediator.log import Redactor
from remediator.people import targets_of


@click.group("notify")
def notify_group() -> None:
    """Try out the notifications."""


@notify_group.command("test")
@click.argument("name", required=False)
@config_option
@mode_option
def test(name: str | None, config: Path | None, mode: str | None) -> int:
    """Send a test message to NAME, or to every target of the config, and tell what came of it.

    The message says that it is a test. It goes out at once and past the outbox, whatever `modes` and
    `events` the target has.

    \b
    Exit codes: 0 each was delivered, 1 one was not or there is nobody to send to,
    64 no target has this name, 78 the config is wrong.
    """
    settings = settings_from(config, thorough=True)
    quiet_logs(settings)
    targets = [target for target in targets_of(settings) if name in (None, target.name)]
    if not targets:
        known = ", ".join(target.name for target in targets_of(settings))
        if name is not None:
            raise click.BadParameter(
                f"no target has this name; {f'defined: {known}' if known else 'none is defined'}",
                param_hint="NAME",
            )
        say("the config has no `notify`: there is nobody to send to")
        return Exit.FAILED
    mask = Redactor([secret.reveal() for secret in settings.secrets]).text
    now, dry_run = SystemClock().now().at, mode_of(settings, mode) is Mode.DRY_RUN

    def tried(target: Target) -> tuple[str, str]:
        sent = try_out(target, now, mask, dry_run=dry_run)
        return target.name, "" if sent.delivered else sent.because

    with ThreadPoolExecutor(len(targets)) as pool:
        outcomes = list(pool.map(tried, targets))
    for tried_name, because in outcomes:
        say(f"{tried_name}: {f'not delivered: {because}' if because else 'delivered'}")
    return Exit.FAILED if any(because for _, because in outcomes) else Exit.OK
