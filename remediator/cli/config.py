"""`remediator config`: validate, describe and show the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import click

from remediator.cli.common import config_option, print_text, say, settings_from
from remediator.cli.exits import Exit
from remediator.config import schema as json_schema
from remediator.config import show as shown
from remediator.core.text import count


@click.group("config")
def config_group() -> None:
    """Validate, describe and show the configuration."""


@config_group.command("check")
@config_option
def check(config: Path | None) -> int:
    """Validate the config file; every mistake on one line: file:line:column, what, what is allowed.

    \b
    Exit codes: 0 valid, 78 not.
    """
    settings = settings_from(config, thorough=True)
    for warning in settings.warnings:
        say(f"warning: {warning}", err=True)
    databases = count(len(settings.databases), "database")
    services = count(len(settings.services), "service")
    say(f"{settings.source}: valid ({settings.mode}, {databases}, {services})")
    return Exit.OK


@config_group.command("schema")
def schema() -> int:
    """Print the JSON Schema of the config file, for editors and CI."""
    print_text(json.dumps(json_schema(), indent=2))
    return Exit.OK


@config_group.command("show")
@config_option
def show(config: Path | None) -> int:
    """Print the effective config: defaults filled in, variables resolved, secrets masked."""
    print_text(shown(settings_from(config)), nl=False)
    return Exit.OK
