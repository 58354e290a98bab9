"""Entry point of `remediator` and of `python -m remediator`."""

from __future__ import annotations

import sys

from remediator.cli import run


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
