"""Entry point of `remediator` and of `python -m remediator`."""

from __future__ import annotations

import os
import signal
import sys

_STANDARD_ERROR = 2


def main() -> None:
    """Run the command line and exit with its code."""
    _fill_standard_streams()
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"] and "--once" not in arguments:
        # A reload may be asked for while the rest is still being imported. It stays pending, and the
        # daemon takes it up as soon as it can, instead of being ended by it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

    from remediator.cli import run  # noqa: PLC0415  importing it takes long enough for a signal to come

    sys.exit(run(arguments))


def _fill_standard_streams() -> None:
    """Open what was closed at our start, or a database's socket gets the number that libraries write to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)


if __name__ == "__main__":
    main()
