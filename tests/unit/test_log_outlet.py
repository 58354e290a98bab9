"""The way out for log lines: nobody waits, the order is kept, and what is missing is counted."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remediator.log import Gap, Outlet

LINE = "x" * 91
DEADLINE = 20.0


class Lines:
    """A pipe of one page with its two ends, and an outlet into it.

    Attributes:
        outlet: Writes into the pipe.
        gaps: What was told of gaps.
    """

    def __init__(self, backlog: int) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self.gaps: list[Gap] = []
        self.outlet = Outlet(self.writer, self._tell, backlog=backlog)
        self._rest = b""

    def _tell(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self.outlet.put(f"gap {gap.lines}", urgent=True)

    def put(self, *names: str, urgent: bool = False) -> None:
        """Put one line of a hundred bytes for each name."""
        for name in names:
            self.outlet.put(f"{name:8}{LINE}", urgent=urgent)

    def read(self, *, until: str) -> list[str]:
        """The first words of the lines, up to and including the one that begins like this."""
        found: list[str] = []
        while not found or not found[-1].startswith(until):
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                found.append(line.decode().removesuffix(LINE).strip())
            else:
                data = os.read(self.reader, 65536)
                assert data, "the other end was closed"
                self._rest += data
        return found

    def end(self) -> None:
        """Close both ends; a write that hangs is freed by it."""
        os.close(self.reader)
        self.outlet.close(DEADLINE)
        os.close(self.writer)


@contextmanager
def piped(backlog: int = 20_000) -> Iterator[Lines]:
    """An outlet into a pipe that nobody reads yet."""
    lines = Lines(backlog)
    try:
        yield lines
    finally:
        lines.end()


def numbered(first: int, last: int) -> list[str]:
    """Names of lines."""
    return [f"{number:05}" for number in range(first, last)]


def test_lines_arrive_in_their_order_and_the_end_waits_for_them() -> None:
    """With a reader there is no gap."""
    with piped(backlog=1_000_000) as lines:
        lines.put(*numbered(0, 2000))
        closing: list[bool] = []
        closer = threading.Thread(target=lambda: closing.append(lines.outlet.close(DEADLINE)))
        closer.start()
        assert lines.read(until="01999") == numbered(0, 2000)
        closer.join(DEADLINE)
        assert closing == [True]
        assert lines.gaps == []


def test_nobody_waits_for_a_reader_and_what_is_missing_is_counted_where_it_is_missing() -> None:
    """The oldest lines are kept, warnings for longer than the rest, and the count ends the gap."""
    with piped() as lines:
        lines.put(*numbered(0, 1000))
        lines.put("urgent", "urgent", urgent=True)
        lines.put("late")  # a gap does not end because there happens to be room for one more line
        assert lines.gaps == []
        found = lines.read(until="gap")
        kept = len(found) - 3
        assert found == [*numbered(0, kept), "urgent", "urgent", f"gap {1001 - kept}"]
        # Three quarters of the backlog, and what the pipe itself took.
        assert 150 <= kept <= 150 + 42
        lines.put("after")
        assert lines.read(until="after") == ["after"]
        (gap,) = lines.gaps
        assert 0 <= gap.seconds < DEADLINE


def test_warnings_are_dropped_too_when_nothing_else_is_left() -> None:
    """The backlog has an end for them as well."""
    with piped() as lines:
        lines.put(*numbered(0, 1000), urgent=True)
        found = lines.read(until="gap")
        kept = len(found) - 1
        assert found == [*numbered(0, kept), f"gap {1000 - kept}"]
        assert 200 <= kept <= 200 + 42


def test_the_gap_is_told_before_the_first_line_after_it() -> None:
    """Also when lines come so fast that the backlog is never empty."""
    with piped() as lines:
        lines.put(*numbered(0, 1000))
        first = lines.read(until="00120")
        while not lines.gaps:  # as the reader goes on, room comes back
            lines.put("more")
            first += lines.read(until="")
        lines.put("end", urgent=True)
        rest = lines.read(until="end")
        assert first + rest == sorted(first + rest, key=lambda name: (not name.isdigit(), 0))
        told = [name for name in first + rest if name.startswith("gap")]
        assert len(told) == 1
        assert (first + rest)[: (first + rest).index(told[0])].count("more") == 0
        written = len([name for name in first + rest if name.isdigit() or name == "more"])
        assert written + lines.gaps[0].lines >= 1000


def test_the_end_does_not_wait_longer_than_agreed() -> None:
    """For a reader that never comes back."""
    with piped() as lines:
        lines.put(*numbered(0, 100))
        assert lines.outlet.close(0.01) is False


def test_the_end_tries_once_more_what_fails_and_no_longer() -> None:
    """A full disk is no reason to wait."""
    full = os.open("/dev/full", os.O_WRONLY)
    outlet = Outlet(full, lambda _: None)
    outlet.put("lost", urgent=True)
    assert outlet.close(DEADLINE) is False
    os.close(full)


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    """Somebody else may have made it so."""
    with piped() as lines:
        os.set_blocking(lines.writer, False)
        lines.put(*numbered(0, 100))
        assert lines.read(until="00099") == numbered(0, 100)


@pytest.mark.parametrize(("encoding", "written"), [("utf-8", "é\n".encode()), ("ascii", b"\\xe9\n")])
def test_what_the_encoding_lacks_is_escaped(tmp_path: Path, encoding: str, written: bytes) -> None:
    """Better an escape than no line."""
    with (tmp_path / "log").open("wb") as file:
        outlet = Outlet(file.fileno(), lambda _: None, encoding=encoding)
        outlet.put("é", urgent=True)
        assert outlet.close(DEADLINE)
    assert (tmp_path / "log").read_bytes() == written
