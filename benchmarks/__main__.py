"""`python -m benchmarks [NAME ...]`: all of them, or those named."""

from __future__ import annotations

import os
import sys

from benchmarks import checks, footprint, relief, termination

ALL = {"checks": checks.run, "footprint": footprint.run, "termination": termination.run, "relief": relief.run}


def main() -> None:
    """Run the benchmarks named on the command line."""
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    for name in sys.argv[1:] or ALL:
        ALL[name]()


main()
