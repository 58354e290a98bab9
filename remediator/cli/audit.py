"""`remediator audit`: how healthy are the database and its clients?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from remediator import auditing
from remediator.adapters.audits import AuditFiles
from remediator.adapters.clock import SystemClock
from remediator.cli.common import (
    config_option,
    format_option,
    json_text,
    mode_of,
    mode_option,
    print_text,
    quiet_logs,
    say,
    settings_from,
)
from remediator.cli.exits import Exit
from remediator.cli.types import DURATION
from remediator.config import Settings
from remediator.core.audit.compare import compared
from remediator.core.audit.finding import Severity
from remediator.core.audit.report import Report
from remediator.core.model import Mode
from remediator.core.text import duration
from remediator.errors import LedgerError
from remediator.render.audit import audit_lines, audit_markdown, audit_record

_FORMS = {".txt": "text", ".json": "json", ".md": "md", ".html": "html"}
_KEEP = 26


def _known_form(_: click.Context, __: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in paths:
        if path.suffix not in _FORMS:
            raise click.BadParameter(f"{str(path)!r} must end in one of {', '.join(_FORMS)}")
    return paths


@click.command(short_help="Say how healthy the database and its clients are.")
@config_option
@mode_option
@format_option("text", "json", "md", "html")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    callback=_known_form,
    help="Also write it to this file, in the form that .txt, .json, .md or .html says. Can be repeated.",
)
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
@click.option(
    "--keep", is_flag=True, help="Keep it in the state directory, for the next one to be compared with."
)
def audit(
    config: Path | None,
    mode: str | None,
    form: str,
    output: tuple[Path, ...],
    watch: timedelta,
    fail_on: str,
    *,
    keep: bool,
) -> int:
    """Say how healthy each database and its clients are, what is wrong, why it matters and what mends it.

    For every week, after a deploy, before a sale. Changes nothing: each fix is printed, none is done.
    Where an earlier audit was kept, by the daemon or with --keep, it says what has changed since.

    \b
    Exit codes: 0 nothing worse than a note, 1 warnings, 2 problems, 3 a database could not be read,
    74 it could not be kept or written, 78 the config is wrong.
    """
    settings = settings_from(config)
    quiet_logs(settings)
    chosen = mode_of(settings, mode)
    now = SystemClock().now().at
    if watch and sys.stderr.isatty():
        say(f"watching sessions come and go for {duration(watch)} ...", err=True)
    reports = _compared(settings, asyncio.run(auditing.audit(settings, chosen, watch)))
    print_text(_written(reports, chosen, form), nl=False)
    written = [_write(path, _written(reports, chosen, _FORMS[path.suffix])) for path in output]
    if keep:
        kept = settings.audit.keep if settings.audit else _KEEP
        AuditFiles(settings.state_dir).keep(audit_record(reports, chosen, now), now, kept)
    return _code(reports, fail_on) if all(written) else Exit.LEDGER


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        say(f"remediator: {path}: {error.strerror or error}", err=True)
        return False
    return True


def _compared(settings: Settings, reports: Sequence[Report]) -> tuple[Report, ...]:
    names = [report.facts.database for report in reports]
    try:
        before, unreadable = auditing.last_audits(AuditFiles(settings.state_dir), names)
    except LedgerError as error:
        say(f"remediator: {error}; not compared with an earlier audit", err=True)
        return tuple(reports)
    for one in unreadable:
        say(f"remediator: {one.path}: {one.because}; not compared with it", err=True)
    return tuple(compared(r, before.get(r.facts.database)) for r in reports)


def _written(reports: Sequence[Report], mode: Mode, form: str) -> str:
    match form:
        case "json":
            record = audit_record(reports, mode, SystemClock().now().at)
            return json_text(record) + "\n"
        case "md":
            return audit_markdown(reports)
        case "html":
            # Only now: a template engine is nothing that the daemon's commands need.
            from remediator.render.audit.html import audit_html  # noqa: PLC0415

            return audit_html(reports, mode)
        case _:
            return "\n\n".join("\n".join(audit_lines(report)) for report in reports) + "\n"


def _code(reports: Sequence[Report], fail_on: str) -> Exit:
    if fail_on == "never":
        return Exit.OK
    if not all(report.readable for report in reports):
        return Exit.UNKNOWN
    worst = max(report.worst for report in reports)
    if worst is Severity.PROBLEM:
        return Exit.CRITICAL
    return Exit.FAILED if worst is Severity.WARNING and fail_on == "warning" else Exit.OK
