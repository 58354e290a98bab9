"""A wall clock of a process's own, which a test sets while the process runs (libfaketime)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.testbed.missing import missing
from tests.testbed.pgbinaries import own_directory
from tests.testbed.postgres import PostgresServer

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


@contextmanager
def server_with_clock(
    versions: Mapping[int, Path], offset: int = 0, **settings: str | int
) -> Iterator[tuple[PostgresServer, FakeClock]]:
    """Run a PostgreSQL 16 server with a clock of its own.

    Args:
        versions: The server binaries there are.
        offset: As for `FakeClock.set`, from the start.
        settings: The server's.
    """
    if 16 not in versions:
        missing("no PostgreSQL 16 server binaries (make testbed installs them)")
    server = PostgresServer(16, versions[16], settings)
    directory = own_directory("remediator-clock-")
    try:
        clock = FakeClock(directory)
        clock.set(offset)
        server.env.update(clock.env)
        with server:
            yield server, clock
    finally:
        shutil.rmtree(directory)


def _library() -> Path:
    found = [*Path("/usr/lib").glob(f"*/{_LIBRARY}"), *Path("/usr").glob(f"lib*/{_LIBRARY}")]
    if not found:
        missing("no libfaketime (make testbed installs it)")
    return found[0]
