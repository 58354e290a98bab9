"""The command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from remediator import __version__, log
from remediator.cli.audit import audit
from remediator.cli.common import say
from remediator.cli.config import config_group
from remediator.cli.demo import demo
from remediator.cli.doctor import doctor
from remediator.cli.exits import Exit
from remediator.cli.history import history
from remediator.cli.look import check, plan
from remediator.cli.notify import notify_group
from remediator.cli.operate import ack, health, pause, resume
from remediator.cli.replay import replay
from remediator.cli.run import run as run_command
from remediator.errors import BusyError, ConfigError, LedgerError, RemediatorError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="remediator")
def cli() -> None:
    """Relieve PostgreSQL when its connection slots run out, carefully, and keep a record.

    \b
    At 3 a.m.:
      remediator check             how bad is it, and why?
      remediator plan              what would be done, to whom, and why?
      remediator history           what has been done, and did it help?
      remediator pause --for 2h    hands off, I am working on it
      remediator ack               I have looked; you may act again
    \b
    Every week:
      remediator audit             what is wrong, why it matters, and what mends it
    \b
    Before a policy is changed:
      remediator replay --policy new.yaml    what would it have done last week?

    Nothing is ever done in a dry run, which is the default.
    """


for command in (
    *(run_command, check, plan, history, replay, audit, doctor, pause, resume, ack, health),
    *(config_group, notify_group, demo),
):
    cli.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors become one clear line each."""
    output = sys.stdout
    try:
        code = cli.main(list(arguments), prog_name="remediator", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except ConfigError as error:
        return _fail(Exit.CONFIG, *error.problems)
    except BusyError as error:
        return _fail(Exit.BUSY, str(error))
    except LedgerError as error:
        return _fail(Exit.LEDGER, str(error))
    except RemediatorError as error:
        return _fail(Exit.UNAVAILABLE, str(error))
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except SystemExit:
        if sys.stdout is output:
            raise
        return Exit.OK  # click has silenced it because the reader has seen enough
    return code if isinstance(code, int) else Exit.OK


def _fail(code: Exit, *lines: str) -> int:
    priority = log.ERROR_PREFIX if log.is_journal(sys.stderr) else ""
    for line in lines:
        say(f"{priority}remediator: {line}", err=True)
    return code
