"""The wheel and the source distribution, built from the tree once for all tests."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
RUNTIME_LOCK = ROOT / "requirements" / "runtime.txt"


class Distributions(NamedTuple):
    """What a release consists of."""

    wheel: Path
    sdist: Path


@cache
def distributions() -> Distributions:
    """Build the source distribution, and from that the wheel, as a release is built."""
    directory = Path(tempfile.mkdtemp(prefix="remediator-dist-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    build = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={directory}", str(ROOT)]
    done = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the build failed:\n{done.stdout}")
    [wheel], [sdist] = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return Distributions(wheel, sdist)
