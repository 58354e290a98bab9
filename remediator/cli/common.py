"""Options and steps that several commands share."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from remediator import log, render
from remediator.adapters import heartbeat
from remediator.adapters.clock import SystemClock
from remediator.adapters.notify import url_fault
from remediator.config import Settings, find, load
from remediator.core.model import Mode
from remediator.core.text import visible

_NARROWEST = 40

Command = TypeVar("Command", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="The config file. Without it: $REMEDIATOR_CONFIG, ./config.yaml, /etc/remediator/config.yaml.",
)
mode_option = click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="Overrules the config's mode for this call.",
)


def format_option(*formats: str) -> Callable[[Command], Command]:
    """An option for the form of the output; the default is text on a terminal and JSON elsewhere."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(formats),
        default=lambda: "text" if sys.stdout.isatty() else "json",
        help="The form of the output; text on a terminal and JSON elsewhere unless given.",
    )


def settings_from(config: Path | None, *, thorough: bool = False, secrets: bool = True) -> Settings:
    """Read the settings.

    Args:
        config: What the command line says.
        thorough: Look into the URLs of notifications too, which takes a second when there are any.
        secrets: Read the files that hold secrets. What looks only at the state directory needs none, and must
            work for whoever has none at hand.

    Raises:
        ConfigError: There is no config file, or it has mistakes.
    """
    path = find(config, os.environ)
    if thorough:
        return load(path, os.environ, url_fault, secrets=secrets)
    return load(path, os.environ, secrets=secrets)


def mode_of(settings: Settings, override: str | None) -> Mode:
    """The mode in force."""
    return Mode(override) if override else settings.mode


def mode_of_daemon(settings: Settings) -> Mode:
    """The mode of the daemon that runs, else the config's."""
    runs = heartbeat.read(settings.state_dir, SystemClock().now().at).mode
    return Mode(runs) if runs in set(Mode) else settings.mode


def mode_asked(settings: Settings, override: str | None = None) -> Mode:
    """The mode in force; a daemon that runs in the other one is told of, unless the mode was asked for."""
    if override is None:
        runs = mode_of_daemon(settings)
        if runs is not settings.mode:
            text = f"the daemon that runs is in mode {runs}, whatever the config says ({settings.mode})"
            say(f"{text}; `--mode {runs}` is about what is its own, and only a restart changes it", err=True)
    return mode_of(settings, override)


def no_ledger(settings: Settings) -> str:
    """Say that the state directory has no ledger, and what that may mean."""
    none = f"no ledger in {settings.state_dir}"
    if not settings.state_dir.is_dir():
        return f"{none}: there is no such directory, so no daemon has run with this config; check state_dir"
    return f"{none}: no daemon has run with this config yet"


def quiet_logs(settings: Settings) -> None:
    """Keep standard output for the command's own words; what goes wrong is logged to standard error."""
    secrets = [secret.reveal() for secret in settings.secrets]
    log.configure(settings.log.format, "error", sys.stderr, secrets)


def print_json(records: Iterable[object]) -> None:
    """Print one JSON document per line."""
    for record in records:
        print_text(json_text(record))


def json_text(record: object) -> str:
    """A record as one line of JSON; what cannot be seen is escaped, whichever characters those are."""
    text = json.dumps(record, default=str, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def page_width() -> int:
    """How long a line for a person may be: as wide as the terminal is, if there is one."""
    return max(_NARROWEST, shutil.get_terminal_size((render.WIDTH, 0)).columns)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines for a person."""
    for line in lines:
        say(line)


def say(line: str, *, err: bool = False, mark: tuple[str, str] | None = None) -> None:
    """Print a line for a person. Names in it come from strangers: they are seen, and do nothing else.

    Args:
        line: The line.
        err: To standard error.
        mark: A word that stands before it, and its colour.
    """
    before = click.style(f"{mark[0]:<8}", fg=mark[1]) + " " if mark else ""
    click.echo(before + visible(line), err=err)


def print_text(text: str, *, nl: bool = True) -> None:
    """Print a text as it is: one in which whoever made it has seen to what strangers chose."""
    click.echo(text, nl=nl)
