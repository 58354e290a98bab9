"""`python -m tests.soak --minutes N --seed S`: run, print, exit with 1 when something is not as it should."""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.soak.judge import Bounds
from tests.soak.run import Pace, soak
from tests.soak.verdict import Verdict
from tests.testbed.environment import drop_inherited_settings

BRISK = Pace(gap=1.0, longest=1.5, look=0.25, bounds=Bounds(8192, 6))
_BRISK_BELOW = 3.0


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults go on")
    parser.add_argument("--seed", type=int, default=None, help="decides what happens; random if not given")
    parser.add_argument("--report", type=Path, default=None, help="where a JSON report is written")
    parser.add_argument("--keep", type=Path, default=None, help="a directory for logs and ledger, to be kept")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    drop_inherited_settings()
    print(f"soak of {options.minutes:g} min, seed {seed}, Python {platform.python_version()}", flush=True)
    with TemporaryDirectory(prefix="remediator-soak-") as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        pace = BRISK if options.minutes < _BRISK_BELOW else Pace()
        verdict = soak(directory, seconds=options.minutes * 60, seed=seed, pace=pace)
    show(verdict)
    if options.report:
        report = {"seed": seed, "minutes": options.minutes, "ok": verdict.ok, **verdict.facts}
        report["findings"] = [asdict(finding) for finding in verdict.findings]
        options.report.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if verdict.ok else 1


def show(verdict: Verdict) -> None:
    """Print a report for people."""
    for name in ("faults", "events", "actions"):
        told = ", ".join(f"{what} {number}" for what, number in verdict.facts[name].items())
        print(f"{name}: {told}")
    for line in verdict.facts["unexpected"]:
        print(f"unexpected, after {line}")
    for finding in verdict.findings:
        sign = "ok " if finding.ok else "BAD"
        print(f"{sign} {finding.what:<44} {finding.figure:<46} {finding.bound}")


if __name__ == "__main__":
    sys.exit(main())
