"""Whoever reads the log stops, goes away or has no room: actions go on, and the lines come later."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest

from remediator.log import Outlet
from tests.faults.conftest import Figure
from tests.testbed import disks
from tests.testbed.daemon import Daemon, LeakingService, ladder, outcomes
from tests.testbed.postgres import PostgresServer
from tests.testbed.reader import ReadDaemon, Reader
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

SESSIONS = 34
BACKLOG = 4 * 1024 * 1024
BUSY = {"check_every": dict.fromkeys(("normal", "monitor", "alert", "critical"), "50ms")}
UNUSED, RELOADS = 1500, 16
HELD = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'leaky'"


@contextmanager
def read_by(daemon: ReadDaemon, *, sock: bool = False) -> Iterator[Reader]:
    """Start a daemon whose output is read by a reader that can be held."""
    reader = Reader(daemon.directory / "out.log", sock=sock)
    daemon.output_descriptor = reader.writer
    if sock:
        status = os.fstat(reader.writer)
        daemon.env["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
    try:
        with daemon:
            yield reader
            reader.release()
    finally:
        reader.close()


def beats(daemon: Daemon) -> int:
    """When the daemon last completed a cycle, by its heartbeat."""
    return (daemon.state_dir / "heartbeat").stat().st_mtime_ns


def wait_for_beats(daemon: Daemon, number: int) -> None:
    """Wait for so many completed cycles, without the help of the log."""
    seen = {beats(daemon)}

    def enough() -> bool:
        seen.add(beats(daemon))
        return len(seen) > number

    wait_until(enough, what=f"{number} cycles")


def relieved(server: PostgresServer) -> bool:
    """Whether half of the leaked sessions, which is what the policy asks for, are gone."""
    return bool(server.rows(HELD)[0][0] <= SESSIONS // 2 + 2)


def moment(text: str) -> float:
    """A line's time, in seconds."""
    return datetime.fromisoformat(text).timestamp()


def test_a_reader_that_stops_holds_up_no_action_and_gets_every_line_later(
    app: str, watch: str, tmp_path: Path, figure: Figure
) -> None:
    """An incident goes its whole way while nobody reads.

    Given a daemon whose output goes into a full pipe,
    When sessions leak and terminating them is not enough,
    Then sessions are terminated, the service is restarted and checks go on; once the reader is back, every
    line of that time arrives, in order and with its own time.
    """
    worker = LeakingService("worker", tmp_path / "worker", app, limit=0)
    policy = {**ladder("worker"), **BUSY}
    policy["remediate"]["until"] = {"utilization": "10%"}
    daemon = ReadDaemon(tmp_path / "daemon", watch, worker, policy=policy)
    with read_by(daemon) as reader:
        daemon.wait_cycles(2)
        reader.hold()
        begun = time.time()
        wait_for_beats(daemon, 30)  # until the pipe is full, and then some
        with open_idle(app, SESSIONS, in_transaction=True):
            wait_until(lambda: worker.restarts == 1, what="a restart while nobody reads")
        with open_idle(app, 4):
            wait_for_beats(daemon, 10)
        ended = time.time()
        written = (daemon.directory / "out.log").stat().st_size
        reader.release()
        daemon.wait_for("incident_closed")
        held = [line for line in daemon.said("cycle") if begun < moment(line["at"]) < ended]
        assert len(held) >= 40
        assert not daemon.said("log_gap")
        times = [line["at"] for line in daemon.events()]
        assert times == sorted(times)
        assert [line["action"] for line in daemon.said("action_finished")] == ["restart"]
        assert outcomes(daemon.entries()) == [("worker", "confirmed")]
        assert daemon.terminate() == 0
    size = (daemon.directory / "out.log").stat().st_size - written
    figure("cycles completed while nobody read", f"{len(held)} in {ended - begun:.1f} s, none dropped")
    figure("delivered afterwards", f"{size / 1000:.0f} kB")


def test_when_even_the_backlog_is_full_lines_are_dropped_and_counted(
    watch: str, tmp_path: Path, figure: Figure
) -> None:
    """The log is bounded, and says what is missing.

    Given a daemon whose output goes into a full pipe,
    When it has more to say than the four megabytes that may wait,
    Then lines are dropped and checks go on within bounded memory; once the reader is back, what waited
    arrives in order, then how many lines are missing, then new lines.
    """
    daemon = ReadDaemon(tmp_path, watch, policy=BUSY)
    unused = [{"name": f"unused{number:04}"} for number in range(UNUSED)]
    with read_by(daemon) as reader:
        daemon.wait_cycles(2)
        reader.hold()
        memory = resident(daemon.pid)
        daemon.config["policies"] += unused  # which is worth a warning each
        daemon.write_config()
        for _ in range(RELOADS):
            daemon.signal(signal.SIGHUP)
            time.sleep(0.6)  # two within half a second would be one
            wait_for_beats(daemon, 2)
        grown = resident(daemon.pid) - memory
        reader.release()
        gap = daemon.wait_for("log_gap")
        daemon.wait_cycles(3)
        events = daemon.events()
        assert [line for line in events if line["event"] == "log_gap"] == [gap]
        delivered = len(daemon.said("config_warning"))
        assert 0 <= gap["lines"] - (UNUSED * RELOADS - delivered) <= len(events)
        assert delivered < UNUSED * RELOADS
        before = events[: events.index(gap)]
        assert [line["at"] for line in before] == sorted(line["at"] for line in before)
        assert BACKLOG * 0.9 < sum(len(json.dumps(line)) for line in before) < BACKLOG * 1.2
        assert grown < 20 * BACKLOG
        assert daemon.terminate() == 0
    figure("lines kept and dropped", f"{len(before)} and {gap['lines']}, in {gap['seconds']} s")
    figure("memory meanwhile", f"{grown / 1e6:.0f} MB more")


def resident(pid: int) -> int:
    """Bytes of memory that a process has resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_stop_waits_a_moment_for_the_last_lines(
    server: PostgresServer, watch: str, tmp_path: Path, figure: Figure
) -> None:
    """As a service manager stops it.

    Given a daemon with lines that the journal has not taken,
    When it gets SIGTERM,
    Then it ends with code 0 within seconds; if the journal comes back in time it gets every last line.
    """
    for name, returns in (("back", True), ("gone", False)):
        daemon = ReadDaemon(tmp_path / name, watch, policy=BUSY)
        with read_by(daemon, sock=True) as journal:
            daemon.wait_cycles(2)
            journal.hold()
            wait_for_beats(daemon, 40)
            began = time.monotonic()
            daemon.signal(signal.SIGTERM)
            if returns:
                wait_until(lambda: not own_sessions(server), what="the end of its sessions")
                journal.release()
            assert daemon.exited() == 0
            figure(f"end after SIGTERM, reader {name}", f"{time.monotonic() - began:.1f} s")
        if returns:
            assert len(daemon.said("daemon_stopping")) == 1
            assert daemon.output.endswith("}\n")
            assert all(line.startswith("<") for line in daemon.output.splitlines())


def own_sessions(server: PostgresServer) -> int:
    """How many sessions the daemon has."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'remediator'"
    return int(server.rows(query)[0][0])


def test_a_closed_pipe_holds_up_nothing(server: PostgresServer, app: str, watch: str, tmp_path: Path) -> None:
    """Each write fails at once, and for good.

    Given a daemon whose reader has gone away,
    When sessions leak,
    Then they are terminated and recorded, it says nothing anywhere else, and it ends as usual.
    """
    reader, descriptor = os.pipe()
    os.close(reader)
    daemon = ReadDaemon(tmp_path, watch)
    daemon.output_descriptor, daemon.heard = descriptor, False
    with daemon:
        with open_idle(app, SESSIONS):
            wait_until(lambda: relieved(server), what="relief")
        wait_for_beats(daemon, 3)
        assert daemon.terminate() == 0
        assert daemon.errors == ""
        # Those that the test itself closed while they were being terminated have another outcome.
        assert outcomes(daemon.entries()).count(("terminate", "confirmed")) >= SESSIONS // 2 - 2
    os.close(descriptor)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB; it is unmounted with the test."""
    with disks.small_disk(tmp_path / "disk", "64k") as where:
        yield where


def test_a_log_file_on_a_full_disk_is_written_on_once_there_is_room(
    server: PostgresServer, app: str, watch: str, tmp_path: Path, small_disk: Path, figure: Figure
) -> None:
    """Nothing of it is lost.

    Given a daemon whose output is a file on a disk that fills up in the middle of a line,
    When sessions leak, and later there is room again,
    Then they are terminated meanwhile, and afterwards every line is in the file, whole.
    """
    log = small_disk / "log"
    fill = small_disk / "fill"
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    daemon = ReadDaemon(tmp_path / "daemon", watch)
    daemon.output_descriptor = descriptor
    daemon.heard = False
    with daemon:
        wait_until(lambda: log.stat().st_size > 0, what="the first lines")
        with fill.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        wait_for_beats(daemon, 20)
        size = log.stat().st_size
        with open_idle(app, SESSIONS):
            wait_until(lambda: relieved(server), what="relief")
        wait_for_beats(daemon, 3)
        assert log.stat().st_size == size
        fill.unlink()
        wait_until(lambda: b"incident_closed" in log.read_bytes(), what="the lines from before")
        assert daemon.terminate() == 0
        # Those that the test itself closed while they were being terminated have another outcome.
        assert outcomes(daemon.entries()).count(("terminate", "confirmed")) >= SESSIONS // 2 - 2
    os.close(descriptor)
    text = log.read_bytes()
    lines = [line for line in text.splitlines() if line.endswith(b"}")]
    events = [json.loads(line) for line in lines]
    fragments = len(text.splitlines()) - len(lines)
    assert fragments <= 1
    terminated = [event for event in events if event["event"] == "action_finished"]
    assert len(terminated) == len(daemon.entries())
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    figure("lines written later", f"{len(text) - size} bytes, and {fragments} cut off and written anew")


def test_a_line_that_was_cut_off_is_written_anew_on_a_line_of_its_own(tmp_path: Path) -> None:
    """A named pipe whose reader goes away in the middle of a line and comes back."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    outlet = Outlet(writer, lambda _: None)
    os.set_blocking(reader, True)
    outlet.put("a" * 10_000, urgent=True)
    assert os.read(reader, 1) == b"a"  # it is being written
    os.close(reader)
    wait_until(lambda: outlet._torn, what="the failure of a write")  # noqa: SLF001  or it would go unnoticed
    outlet.put("b", urgent=True)
    with path.open("rb") as again:
        read = again.readline(), again.readline(), again.readline()
    assert outlet.close(20)
    os.close(writer)
    assert set(read[0]) <= set(b"a\n")
    assert len(read[0]) < 10_000
    assert read[1:] == (b"a" * 10_000 + b"\n", b"b\n")
