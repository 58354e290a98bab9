"""`remediator audit`: how healthy are the database and its clients?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from remediator import auditing
from remediator.adapters.clock import SystemClock
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
from remediator.core.audit.finding import Severity
from remediator.core.audit.report import Report
from remediator.render.audit import audit_lines, audit_record


@click.command(short_help="Say how healthy the database and its clients are.")
@config_option
@mode_option
@format_option("text", "json")
@click.option(
    "--watch",
    type=DURATION,
    default="10s",
    show_default=True,
    help="How long to watch sessions come and go; 0s is not at all.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "problem", "never"]),
    default="warning",
    show_default=True,
    help="What makes the exit code other than 0.",
)
def audit(config: Path | None, mode: str | None, form: str, watch: timedelta, fail_on: str) -> int:
    """Say how healthy each database and its clients are, what is wrong, why it matters and what mends it.

    For every week, after a deploy, before a sale. Changes nothing: each fix is printed, none is done.

    \b
    Exit codes: 0 nothing worse than a note, 1 warnings, 2 problems, 3 a database could not be read,
    78 the config is wrong.
    """
    settings = settings_from(config)
    quiet_logs(settings)
    chosen = mode_of(settings, mode)
    reports = asyncio.run(auditing.audit(settings, chosen, watch))
    if form == "json":
        print_json([audit_record(reports, chosen, SystemClock().now().at)])
    else:
        for report in reports:
            print_lines(audit_lines(report))
    return _code(reports, fail_on)


def _code(reports: Sequence[Report], fail_on: str) -> Exit:
    if fail_on == "never":
        return Exit.OK
    if not all(report.readable for report in reports):
        return Exit.UNKNOWN
    worst = max(report.worst for report in reports)
    if worst is Severity.PROBLEM:
        return Exit.CRITICAL
    return Exit.FAILED if worst is Severity.WARNING and fail_on == "warning" else Exit.OK
