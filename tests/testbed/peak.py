"""How much memory a command took at most.

It is asked of the process itself: the peak that the system tells whoever waits for a child is that of its
parent, too, from before the exec.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """
import atexit, sys
from pathlib import Path
from remediator.__main__ import main

def note():
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM"))
    Path(where).write_text(peak.split()[1])

where = sys.argv.pop(1)
atexit.register(note)
main()
"""


def measured(peak: Path, *arguments: str) -> list[str]:
    """The command line of `remediator` with these arguments; when it ends it leaves its peak in a file."""
    return [sys.executable, "-c", _PROGRAM, str(peak), *arguments]


def peak_bytes(peak: Path) -> int:
    """What such a command has left."""
    return int(peak.read_text()) * 1024
