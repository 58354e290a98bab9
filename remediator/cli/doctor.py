"""`remediator doctor`: is everything there that is needed to act?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from remediator import doctor as doctors
from remediator.cli.common import (
    config_option,
    format_option,
    mode_asked,
    mode_option,
    print_json,
    quiet_logs,
    say,
    settings_from,
)

_MARKS = {
    doctors.Grade.OK: ("ok", "green"),
    doctors.Grade.WARNING: ("warning", "yellow"),
    doctors.Grade.PROBLEM: ("problem", "red"),
}


@click.command(short_help="Check that everything is there that is needed to act.")
@config_option
@mode_option
@format_option("text", "json")
def doctor(config: Path | None, mode: str | None, form: str) -> int:
    """Check privileges, reachability, Docker's scope, stop grace periods, clocks, the state directory.

    Changes nothing, apart from creating the ledger's file where there is none yet, and tells nobody:
    that is what `notify test` does.

    \b
    Exit codes: 0 all is well, 1 something is unwise, 2 something would not work,
    78 the config is wrong.
    """
    settings = settings_from(config, thorough=True)
    quiet_logs(settings)
    findings = asyncio.run(doctors.examine(settings, mode_asked(settings, mode)))
    for finding in findings:
        mark, colour = _MARKS[finding.grade]
        if form == "json":
            print_json([{"grade": mark, "subject": finding.subject, "text": finding.text}])
        else:
            say(f"{finding.subject}: {finding.text}", mark=(mark, colour))
    return max(finding.grade for finding in findings)
