"""The real daemon as a subprocess, in front of real services that leak and are restarted by commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from tests.testbed.growing import GrowingLog
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

Record = dict[str, Any]

# Quick enough for a test, slow enough for a busy machine to keep the order of things.
POLICY: Record = {
    "name": "quick",
    "check_every": {"normal": "150ms", "monitor": "150ms", "alert": "150ms", "critical": "150ms"},
    "levels": {
        "monitor": {"utilization": "20%", "idle": "none"},
        "alert": {"utilization": "50%", "idle": "none", "for": "0s"},
        "critical": {"utilization": "80%", "refusing_connections": True, "for": "200ms"},
    },
    "clear": {"margin": "5%", "for": "1s"},
    "remediate": {
        "until": {"utilization": "50%"},
        "settle": "300ms",
        "retry": "1s",
        "steps": [{"terminate_idle": {"older_than": "300ms"}}],
    },
    "limits": {
        "terminate": {"per_step": "100%", "abort_above": [], "per_hour": 10000},
        "restart": {"per_service": "1 per 30m", "backoff": "none", "per_day": 3, "min_uptime": "0s"},
    },
}
CONNECT: Record = {
    "timeout": "1s",
    "query_timeout": "1s",
    "probe_every": "300ms",
    "keepalives_idle": "1s",
    "keepalives_interval": "1s",
    "tcp_user_timeout": "3s",
}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Record:
    """A mapping with changes at any depth; lists are replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def ladder(*services: str, terminate: bool = True) -> Record:
    """A policy's steps: terminate idle sessions, then restart these services in this order."""
    steps: list[Record] = [{"terminate_idle": {"older_than": "300ms"}}] if terminate else []
    return {"remediate": {"steps": [*steps, *({"restart": {"service": name}} for name in services)]}}


UNDONE = frozenset({"changed", "dropped"})
_CONTROL = '''
"""What the service's two commands do: `restart` and `inspect`, over a pid file."""
import json, os, signal, subprocess, sys, time
from pathlib import Path

directory, what = Path(sys.argv[2]), sys.argv[1]
settings = json.loads((directory / "settings.json").read_text())
pid_file = directory / "pid"

def alive():
    try:
        pid, started = pid_file.read_text().split()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return f"{pid} {started}" if fields[19] == started and fields[0] != "Z" else None

def note(text):
    with (directory / "restarts").open("a") as log:
        log.write(f"{text} {time.time():.3f}\\n")

def start():
    restarts = (directory / "restarts").read_text().count("begin") if (directory / "restarts").exists() else 0
    leaks = settings["heals_after"] is None or restarts < settings["heals_after"]
    process = subprocess.Popen(
        [
            *(sys.executable, str(directory / "worker.py"), str(directory), "leak" if leaks else "rest"),
            str(settings["crashes_after"] if what == "restart" else 0),
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
    )
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    pid_file.with_suffix(".new").write_text(f"{process.pid} {started}")
    pid_file.with_suffix(".new").replace(pid_file)

if what == "inspect":
    token = alive()
    print(token or "")
    sys.exit(0 if token else 3)
if what == "restart":
    note("begin")
    if settings["refuses"]:
        print("not today", file=sys.stderr)
        sys.exit(1)
    if token := alive():
        os.kill(int(token.split()[0]), signal.SIGTERM)
    time.sleep(settings["takes"])
if what in ("restart", "start"):
    while alive():
        time.sleep(0.01)
    start()
if what == "restart":
    note("end")
'''

_WORKER = '''
"""Leaks sessions, as many as it is told, for as long as it lives."""
import json, sys, time
from pathlib import Path

import psycopg

directory = Path(sys.argv[1])
settings = json.loads((directory / "settings.json").read_text())
life = float(sys.argv[3])
born = time.monotonic()
sessions = []
while not life or time.monotonic() < born + life:
    if sys.argv[2] == "leak" and len(sessions) < settings["limit"]:
        try:
            session = psycopg.connect(settings["dsn"], application_name=settings["name"], connect_timeout=2)
            session.autocommit = True
            session.execute("SELECT 1")
            sessions.append(session)
        except psycopg.Error:
            pass
    time.sleep(settings["every"])
'''


@dataclass
class LeakingService:
    """A worker process that leaks sessions, and the two commands that look after it.

    Attributes:
        name: The service's name, and its sessions' application name.
        directory: Holds its scripts, its settings and the log of its restarts.
        dsn: Where it connects to.
        every: Seconds between two leaked sessions.
        limit: How many sessions it leaks at most in one life.
        heals_after: It no longer leaks after so many restarts; None for never, 0 for not at all.
        takes: Seconds that a restart takes.
        crashes_after: Seconds that it lives after a restart; 0 for ever.
        refuses: The restart fails before it does anything.
        steady_for: How long it must stay up after a restart.
    """

    name: str
    directory: Path
    dsn: str
    every: float = 0.02
    limit: int = 1000
    heals_after: int | None = 1
    takes: float = 0.0
    crashes_after: float = 0.0
    refuses: bool = False
    steady_for: str = "300ms"
    _files: tuple[str, str] = field(default=(_CONTROL, _WORKER), init=False, repr=False)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        for name, text in zip(("control.py", "worker.py"), self._files, strict=True):
            (self.directory / name).write_text(text)
        self.configure()

    def configure(self) -> None:
        """Write the settings; the next start and the next command go by them."""
        names = ("name", "dsn", "every", "limit", "heals_after", "takes", "crashes_after", "refuses")
        settings = {name: getattr(self, name) for name in names}
        (self.directory / "settings.json").write_text(json.dumps(settings))

    def command(self, what: str) -> list[str]:
        """The argument list of a command."""
        # Without site: these are started often, and would each measure their coverage of nothing.
        return [sys.executable, "-S", str(self.directory / "control.py"), what, str(self.directory)]

    @property
    def config(self) -> Record:
        """What the configuration says of it."""
        command = {"restart": self.command("restart"), "inspect": self.command("inspect"), "deadline": "30s"}
        verify = {"within": "5s", "steady_for": self.steady_for}
        return {"name": self.name, "command": command, "verify": verify}

    @property
    def restarts(self) -> int:
        """How often a restart was really begun, by the service's own account."""
        return self._log.count("begin")

    @property
    def finished(self) -> int:
        """How many of the restarts came to their end."""
        return self._log.count("end")

    @property
    def running(self) -> bool:
        """Whether the service runs, by its own account."""
        return subprocess.run(self.command("inspect"), check=False, capture_output=True).returncode == 0

    def start(self) -> None:
        """Start the worker."""
        subprocess.run(self.command("start"), check=True, timeout=20)

    def stop(self) -> None:
        """End the worker if it runs."""
        with suppress(OSError, ValueError):
            pid = int((self.directory / "pid").read_text().split()[0])
            if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    @property
    def _log(self) -> str:
        path = self.directory / "restarts"
        return path.read_text() if path.exists() else ""


class Daemon:
    """`remediator run` with a configuration of its own: `start`, look at what it says, `terminate`.

    As a context manager it starts, and at the end kills the daemon and its services.

    Args:
        directory: Where everything of it goes: the configuration, the log, `state`, the services.
        dsn: Of the one database, named `shop`; or DSNs by name.
        services: They are started and stopped together with the first daemon.
        mode: `enforce` or `dry-run`.
        policy: Changes to `POLICY`.
        config: Changes to the whole configuration.
        env: More variables for its environment.
    """

    def __init__(
        self,
        directory: Path,
        dsn: str | Mapping[str, str],
        *services: LeakingService,
        mode: str = "enforce",
        policy: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.services = services
        self.state_dir = directory / "state"
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir.chmod(0o700)
        self.config_file = directory / "config.yaml"
        self.env = dict(env or {})
        dsns = {"shop": dsn} if isinstance(dsn, str) else dsn
        databases = [{"name": n, "dsn": d, "connect": CONNECT, "policy": "quick"} for n, d in dsns.items()]
        self.config: Record = merged(
            {
                "version": 1,
                "mode": mode,
                "state_dir": str(self.state_dir),
                "databases": databases,
                "services": [service.config for service in services],
                "policies": [merged(POLICY, policy or {})],
            },
            config or {},
        )
        self.write_config()
        self._out = directory / "out.log"
        self._err = directory / "err.log"
        self._log = GrowingLog(self._out, self.record)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()  # first, as in life: a leak may be quicker than a start, and leave us no slot
            for service in self.services:
                service.start()
        except BaseException:  # whatever it was, nobody else would end it
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not killed when all is well: its coverage would be lost.
        with suppress(subprocess.TimeoutExpired, RuntimeError):
            self.terminate()
        self.kill()
        for service in self.services:
            service.stop()

    def write_config(self, policy: Mapping[str, Any] | None = None) -> None:
        """Write the configuration file, with changes to the policy; they stay."""
        if policy:
            self.config["policies"] = [merged(self.config["policies"][0], policy)]
        self.config_file.write_text(json.dumps(self.config, indent=2))  # which is YAML too
        self.config_file.chmod(0o600)

    def reload(self, config: Mapping[str, Any]) -> None:
        """Change the configuration, and have it read anew; what comes of it is not waited for."""
        self.config = merged(self.config, config)
        self.write_config()
        self.signal(signal.SIGHUP)

    @property
    def pid(self) -> int:
        """The process id of the daemon that runs, or ran last."""
        if self._process is None:
            raise RuntimeError("the daemon was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._err.read_text() if self._err.exists() else ""

    @property
    def output(self) -> str:
        """What it wrote to standard output."""
        return self._out.read_text() if self._out.exists() else ""

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it, and wait until it has completed a cycle."""
        cycles = len(self.said("cycle"))
        with self.open_output() as out, self._err.open("ab") as err:
            self._process = subprocess.Popen(
                self.argv("run", *options), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self._env()
            )
        if wait:
            self.wait(lambda: len(self.said("cycle")) > cycles, "its first cycle")

    def open_output(self) -> BinaryIO:
        """What becomes its standard output."""
        return self._out.open("ab")

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self, within: float = 15.0) -> int:
        """Ask it to end, and return its exit code."""
        if self._process is None:
            raise RuntimeError("the daemon was never started")
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within)

    def exited(self, within: float = 20.0) -> int:
        """Wait for its end by itself, and return its exit code."""
        if self._process is None:
            raise RuntimeError("the daemon was never started")
        return self._process.wait(within)

    def restart(self) -> None:
        """End it and start it again."""
        self.terminate()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def events(self) -> list[Record]:
        """Every line it logged so far; each must be JSON."""
        return self._log.records()

    def record(self, line: bytes) -> Record:
        """What a line of its log says."""
        record: Record = json.loads(line)
        return record

    def said(self, event: str, **fields: object) -> list[Record]:
        """The lines of one event with these values."""
        wanted = {"event": event, **fields}
        return [line for line in self.events() if wanted.items() <= line.items()]

    def wait_for(self, event: str, *, times: int = 1, within: float = 30.0, **fields: object) -> Record:
        """Wait until an event with these values has been said so often, and return the last of them."""
        self.wait(lambda: len(self.said(event, **fields)) >= times, f"{event} {fields or ''}", within)
        return self.said(event, **fields)[-1]

    def wait_cycles(self, number: int, **fields: object) -> list[Record]:
        """Wait for so many more cycles with these values, and return them."""
        before = len(self.said("cycle", **fields))
        what = f"{number} cycles {fields or ''}"
        self.wait(lambda: len(self.said("cycle", **fields)) >= before + number, what)
        return self.said("cycle", **fields)[before:]

    def wait(self, condition: Any, what: str, within: float = 30.0) -> None:
        """Wait for something while the daemon runs.

        Raises:
            RuntimeError: It ended, or did not do it in time; the message holds what it said.
        """
        end = time.monotonic() + within
        while not condition():
            if time.monotonic() > end or (not self.running and not condition()):
                tail = "\n".join(line for line in self.output.splitlines() if '"event": "cycle"' not in line)
                why = "not in time" if self.running else "the daemon has ended"
                raise RuntimeError(f"{what}: {why}\n{tail[-6000:]}\n{self.errors[-3000:]}")
            time.sleep(0.05)

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of remediator with this configuration to its end."""
        return subprocess.run(
            self.argv(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self._env(),
            cwd=self.directory,
        )

    def history(self) -> list[Record]:
        """The incidents of the ledger with their entries."""
        done = self.run("history", "--format", "json")
        assert done.returncode == 0, done.stderr
        *incidents, standing = [json.loads(line) for line in done.stdout.splitlines()]
        assert standing["kind"] == "standing"
        return incidents

    def entries(self) -> list[Record]:
        """The entries of all incidents."""
        return [entry for incident in self.history() for entry in incident["entries"]]

    def argv(self, *arguments: str) -> list[str]:
        """The argument list of a command with this configuration."""
        return [sys.executable, "-m", "remediator", *arguments, "--config", str(self.config_file)]

    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.env}


def outcomes(entries: list[Record]) -> list[tuple[str, str | None]]:
    """Entries as service or `terminate`, and result."""
    told = []
    for entry in entries:
        action = entry["action"]
        what = action["replica"]["service"] if action["kind"] == "restart_replica" else "terminate"
        told.append((what, entry["outcome"]["result"] if entry["outcome"] else None))
    return told


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Make sure that a process is gone afterwards."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for_sessions(server: Any, application: str, number: int) -> None:
    """Wait until an application has at least so many sessions."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %(name)s"
    wait_until(
        lambda: server.rows(query, {"name": application})[0][0] >= number,
        what=f"{number} sessions of {application}",
    )
