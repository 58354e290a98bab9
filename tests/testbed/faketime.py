"""A wall clock of a process's own, which a test sets while the process runs (libfaketime)."""

from __future__ import annotations

from pathlib import Path

from tests.testbed.missing import missing

_LIBRARY = "faketime/libfaketimeMT.so.1"


class FakeClock:
    """The wall clock of every process that is started with `env`; clocks that nobody sets stay true.

    Args:
        directory: Where the file is kept that says what time it is.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self._library = _library()
        self.offset = 0
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        """The variables that put a process under this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def set(self, offset: int) -> None:
        """Set the clock, at once.

        Args:
            offset: Seconds ahead of the true time; negative is behind it.
        """
        self.offset = offset
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+d}\n")
        new.replace(self._file)


def _library() -> Path:
    found = [*Path("/usr/lib").glob(f"*/{_LIBRARY}"), *Path("/usr").glob(f"lib*/{_LIBRARY}")]
    if not found:
        missing("no libfaketime (make testbed installs it)")
    return found[0]
