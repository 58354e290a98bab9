"""The demo, run as people run it: what it claims is compared with the daemon's log and with the world."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from remediator.demo import honest
from remediator.demo.binaries import major_version, readable, server_user
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WITHIN = 150.0
DEMO = (sys.executable, "-m", "remediator", "demo")
KEPT = ("api.log", "celery_worker.log", "config.yaml", "passwords", "postgres.log", "remediator.err")


@dataclass(frozen=True)
class Run:
    """A demo that has ended, and what it kept."""

    code: int
    written: str
    directory: Path

    @property
    def output(self) -> str:
        """What it wrote, without a terminal's control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The daemon's log."""
        lines = (self.directory / "remediator.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def named(self, name: str, **fields: object) -> list[dict[str, Any]]:
        """The events of a name that have these fields."""
        return [e for e in self.events if e["event"] == name and fields.items() <= e.items()]

    def row(self, heading: str) -> str:
        """A row of the report, which a terminal may have put on several lines."""
        found = re.search(rf"^\W*{heading}\s+(.*(?:\n\W*\s{{12}}.*)*)", self.output, re.MULTILINE)
        assert found, self.output
        return " ".join(found[1].replace("│", " ").split())


@contextmanager
def own_tmp() -> Iterator[Path]:
    """A directory for temporary files that the server's user gets through and whose path is short."""
    directory = Path(tempfile.mkdtemp(prefix="demo-", dir="/tmp"))
    directory.chmod(0o711)
    try:
        yield directory
        wait_until(lambda: not processes_of(directory), what="every process of the demo to end")
    finally:
        shutil.rmtree(directory)


def processes_of(directory: Path) -> list[str]:
    """The processes whose arguments, environment or working directory name this directory."""
    wanted = str(directory).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes()
            told = arguments + (process / "environ").read_bytes() + bytes((process / "cwd").readlink())
            if wanted in told:
                found.append(f"{process.name}: {arguments.decode()}")
    return found


def environment(tmp: Path) -> dict[str, str]:
    """Our environment with another place for temporary files."""
    return {**os.environ, "TMPDIR": str(tmp)}


def play(tmp: Path, pg_bin: Path, *options: str) -> Run:
    """Run the demo to its end, without a terminal."""
    done = subprocess.run(
        [*DEMO, "--plain", "--keep", "--pg-bin", pg_bin, *options],
        env=environment(tmp),
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert not done.stderr, done.stderr
    (directory,) = tmp.iterdir()
    return Run(done.returncode, done.stdout, directory)


@pytest.fixture(scope="module")
def healed(postgres_versions: Mapping[int, Path]) -> Iterator[Run]:
    """A demo that acts."""
    with own_tmp() as tmp:
        yield play(tmp, postgres_versions[18])


@pytest.fixture(scope="module")
def hopeless(postgres_versions: Mapping[int, Path]) -> Iterator[Run]:
    """A demo in which restarts do not help, on a server that cannot reserve a slot for the daemon."""
    with own_tmp() as tmp:
        yield play(tmp, postgres_versions[15], "--without-cure")


@pytest.fixture(scope="module")
def dry(postgres_versions: Mapping[int, Path]) -> Iterator[Run]:
    """A demo in a dry run, on a terminal."""
    with own_tmp() as tmp:
        argv = [*DEMO, "--dry-run", "--keep", "--pg-bin", str(postgres_versions[16])]
        code, output = on_a_terminal(argv, environment(tmp))
        (directory,) = tmp.iterdir()
        yield Run(code, output, directory)


def on_a_terminal(argv: list[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Run a program on a terminal of 80 columns and 24 rows; return its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    terminal = {**env, "TERM": "xterm-256color"}
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=terminal) as process:
        os.close(theirs)
        written = b""
        with suppress(OSError):  # the terminal's other end is closed
            while select.select([ours], [], [], WITHIN)[0]:
                written += os.read(ours, 65536)
    os.close(ours)
    return process.returncode, written.decode()


def test_the_demo_heals_and_says_so(healed: Run) -> None:
    """Exit 0 and the whole way from normal to critical and back."""
    assert healed.code == 0, healed.output
    assert "ENFORCE" in healed.output.splitlines()[0]
    assert "RELIEVED" in healed.output
    levels = [e["level"] for e in healed.named("level_changed")]
    assert levels[:3] == ["monitor", "alert", "critical"]
    assert levels[-1] == "normal"


def test_the_report_agrees_with_the_daemons_log(healed: Run) -> None:
    """Every figure of the report is one of the log's."""
    gone = healed.named("action_finished", action="terminate", outcome="confirmed")
    assert len(gone) >= 10
    by_application = Counter(e["application"] for e in gone)
    assert set(by_application) == {"api", "celery_worker"}
    shown = healed.row("terminated")
    assert shown.startswith(f"{len(gone)} idle sessions")
    assert all(f"{number} {name}" in shown for name, number in by_application.items())
    restarts = healed.named("action_finished", action="restart")
    assert [(e["service"], e["outcome"]) for e in restarts] == [("celery_worker", "confirmed")]
    assert "celery_worker (process" in healed.row("restarted")
    assert healed.row("restarted").endswith("api left alone")
    (relief,) = healed.named("incident_relieved")
    assert abs(float(re.match(r"[\d.]+", healed.row("time"))[0]) - relief["seconds"]) <= 0.051  # type: ignore[index]


def test_spared_sessions_are_reported_with_the_plans_reasons(healed: Run) -> None:
    """The reasons are those of the plan that was carried out."""
    plan = next(e for e in healed.named("plan_made") if not e["objections"])
    holds = plan["steps"][0]["holds"]
    shown = healed.row("spared")
    assert f"holds an advisory lock: {holds['advisory_lock']}" in shown
    assert f"in a transaction: {holds['in_transaction']}" in shown


def test_who_had_to_survive_did(healed: Run, dry: Run, hopeless: Run) -> None:
    """Whatever else happens, sessions with a good reason to be idle live."""
    for run in (healed, dry, hopeless):
        assert all(each.application in run.row("survivors") for each in honest.ALL)


def test_what_is_kept_can_be_read_afterwards(healed: Run) -> None:
    """`history` tells from the kept ledger what the log told."""
    kept = {path.name for path in healed.directory.iterdir()}
    assert kept >= {*KEPT, "remediator.jsonl", "state"}
    assert not kept & {"postgres", "programs"}
    config = healed.directory / "config.yaml"
    told = subprocess.run(
        [sys.executable, "-m", "remediator", "history", "--config", config, "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    incident, _standing = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(incident["entries"]) == len(healed.named("action_finished"))


def test_a_dry_run_plans_the_same_and_changes_nothing(dry: Run) -> None:
    """Everything that leaked is still there, under its own pid."""
    assert dry.code == 0, dry.output
    outcomes = {e["outcome"] for e in dry.named("action_finished")}
    assert outcomes == {"simulated"}
    assert "a plan was made, and nothing was changed" in dry.output
    still, leaked = map(int, re.findall(r"\d+", dry.row("untouched"))[:2])
    assert still == leaked >= 40
    assert dry.row("terminated").startswith("would be ")
    assert dry.row("restarted").startswith("nothing")


def test_a_terminal_shows_the_mode_and_the_slots_all_the_time(dry: Run) -> None:
    """No frame leaves it open whether anything is really done."""
    entered, left = dry.written.index("\x1b[?1049h"), dry.written.index("\x1b[?1049l")
    frames = dry.written[entered:left].split("\x1b[H")[2:]
    assert len(frames) > 20
    for frame in frames:
        assert "DRY RUN" in frame
        assert "slots used" in frame


def test_without_relief_the_demo_fails(hopeless: Run) -> None:
    """The demo believes the server, not the daemon's confirmed restarts."""
    assert hopeless.code == 1, hopeless.output
    assert "FAILED: no relief" in hopeless.output
    restarts = hopeless.named("action_finished", action="restart", outcome="confirmed")
    assert [e["service"] for e in restarts] == ["celery_worker", "api"]
    assert hopeless.named("incident_held")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
def test_however_it_ends_nothing_is_left(
    number: signal.Signals, code: int, postgres_versions: Mapping[int, Path]
) -> None:
    """Not even kill -9 leaves a process or a file behind."""
    assert postgres_versions  # the demo looks for the server by itself
    with own_tmp() as tmp:
        # Whoever started us in the background has SIGINT ignored, and that is inherited.
        argv = ["env", "--default-signal=INT,HUP", *DEMO, "--plain"]
        process = subprocess.Popen(argv, env=environment(tmp), stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout is not None
            assert any("remediator watches" in line for line in process.stdout)
            assert len(processes_of(tmp)) >= 6
            process.send_signal(number)
            assert process.wait(WITHIN) == code
        wait_until(lambda: not any(tmp.iterdir()), what="the demo's directory to be removed")


def test_programs_that_are_not_there_are_one_clear_line(tmp_path: Path) -> None:
    """A wrong --pg-bin is said at once."""
    done = subprocess.run([*DEMO, "--pg-bin", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert done.stderr.splitlines() == [f"remediator: {tmp_path} does not hold postgres and initdb"]


def test_programs_that_the_servers_user_cannot_read_are_copied(
    tmp_path: Path, postgres_versions: Mapping[int, Path]
) -> None:
    """As root, a private installation is copied; otherwise it is used where it is."""
    found = postgres_versions[18]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    package = found.parents[1]
    shutil.copytree(found.parent, private / package.name / found.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, private / libraries.name, symlinks=True)
    hidden = private / package.name / found.parent.name / found.name
    with own_tmp() as tmp:
        usable = readable(hidden, server_user(), tmp / "programs")
        assert usable.is_relative_to(tmp) == (os.geteuid() == 0)
        assert major_version(usable, server_user()) == 18
