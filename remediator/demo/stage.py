"""Puts everything on stage: the server, the services that leak, the daemon; and takes it off again."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remediator.adapters.environment import public_environment
from remediator.core.model import Mode
from remediator.demo import scenario
from remediator.demo.binaries import find_binaries, server_user
from remediator.demo.guard import Guard
from remediator.demo.server import HOST, Server, start_server
from remediator.demo.sessions import Onlooker, open_session
from remediator.demo.supervisor import Supervisor
from remediator.errors import UnavailableError

# A Unix socket's path has room for little more than a hundred bytes.
_LONGEST_DIRECTORY = 60
_HONEST_WITHIN = 30.0
_DAEMON_RIGHTS = ("pg_read_all_stats", "pg_signal_backend")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RESERVED_RIGHT = "pg_use_reserved_connections"


@dataclass(frozen=True, slots=True)
class Options:
    """What the demo is asked for.

    Attributes:
        keep: Keep the directory with config, log and ledger.
        pg_bin: Where the server's programs are, None to look for them.
        cured: The restarted celery_worker does not leak any more.
    """

    mode: Mode
    keep: bool = False
    pg_bin: Path | None = None
    cured: bool = True


@dataclass(slots=True)
class Stage:
    """Everything that runs.

    Attributes:
        directory: Config, log and ledger.
        app_dsn: For the applications' role.
    """

    directory: Path
    server: Server
    onlooker: Onlooker
    supervisor: Supervisor
    daemon: subprocess.Popen[bytes]
    app_dsn: str
    _log: LogTail = field(init=False)

    def __post_init__(self) -> None:
        self._log = LogTail(self.directory / "remediator.jsonl")

    def news(self) -> Iterator[dict[str, Any]]:
        """What the daemon has logged since the last call."""
        return self._log.read()

    def close(self) -> None:
        """Let go of the daemon's log."""
        self._log.close()

    def accepts(self) -> bool:
        """Whether an application gets a connection."""
        session = open_session(self.app_dsn, scenario.ONLOOKER_APPLICATION)
        if session is None:
            return False
        session.close()
        return True


class LogTail:
    """Reads a log of JSON lines while it is being written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""

    def read(self) -> Iterator[dict[str, Any]]:
        """Whole lines that have come since the last call."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@contextlib.contextmanager
def staged(options: Options) -> Iterator[Stage]:
    """Run everything for as long as the context lasts; nothing is left of it afterwards, come what may.

    Raises:
        UnavailableError: Something could not be started; the message says what.
    """
    bin_dir = find_binaries(options.pg_bin)
    user = server_user()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_signals_end_us())
        guard = Guard()
        stack.callback(_bury)
        stack.callback(guard.end)
        stack.callback(_turn_deaf)
        directory = _directory()
        if not options.keep:
            guard.directory(directory)
        server = start_server(bin_dir, user, directory, scenario.USABLE, guard)
        onlooker = Onlooker(server.socket_dir, server.port, scenario.ONLOOKER_APPLICATION)
        stack.callback(onlooker.close)
        daemon_dsn, app_dsn = _roles(server, onlooker, directory)
        _start_honest(app_dsn, guard)
        services = scenario.services(app_dsn, cured=options.cured)
        supervisor = Supervisor(services, directory, os.environ, guard)
        stack.callback(supervisor.stop)
        config = directory / "config.yaml"
        text = scenario.config_text(options.mode, daemon_dsn, sys.executable, supervisor.socket)
        config.write_text(text)
        (directory / "state").mkdir(mode=0o700)
        supervisor.start()
        daemon = _start_daemon(config, options.mode, directory, guard)
        stage = Stage(directory, server, onlooker, supervisor, daemon, app_dsn)
        stack.callback(stage.close)
        yield stage


def _directory() -> Path:
    place = tempfile.gettempdir()
    if len(place) > _LONGEST_DIRECTORY:
        place = "/tmp"  # noqa: S108  mkdtemp's directory is private wherever it is
    directory = Path(tempfile.mkdtemp(prefix="remediator-demo-", dir=place))
    directory.chmod(0o711)  # the server's user must get through to its own part
    return directory


def _roles(server: Server, onlooker: Onlooker, directory: Path) -> tuple[str, str]:
    """Create the daemon's role, with the least it needs, and the applications'; return their DSNs."""
    reserved = [_RESERVED_RIGHT] if server.has_reserved else []
    rights = {"remediator": [*_DAEMON_RIGHTS, *reserved], "app": []}
    passwords = {name: secrets.token_urlsafe(16) for name in rights}
    for name, memberships in rights.items():
        onlooker.create_role(name, passwords[name], memberships)
    passfile = directory / "passwords"
    passfile.touch(mode=0o600)
    passfile.write_text("".join(f"{HOST}:*:*:{name}:{secret}\n" for name, secret in passwords.items()))
    quoted = str(passfile).replace("\\", "\\\\").replace("'", "\\'")
    login = f"host={HOST} port={server.port} dbname=postgres passfile='{quoted}'"
    return f"{login} user=remediator", f"{login} user=app"


def _start_honest(dsn: str, guard: Guard) -> None:
    process = subprocess.Popen(  # noqa: S603  our own module
        [sys.executable, "-m", "remediator.demo.honest", dsn],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=public_environment(os.environ),
        start_new_session=True,
    )
    guard.process(process.pid, signal.SIGTERM)
    with process.stdout or contextlib.nullcontext() as output:
        ready = output is not None and select.select([output], [], [], _HONEST_WITHIN)[0]
        if not ready or output is None or output.readline() != b"ready\n":
            raise UnavailableError("the demo's sessions could not be opened")


def _start_daemon(config: Path, mode: Mode, directory: Path, guard: Guard) -> subprocess.Popen[bytes]:
    with (directory / "remediator.jsonl").open("wb") as log, (directory / "remediator.err").open("wb") as err:
        daemon = subprocess.Popen(  # noqa: S603  ourselves
            [sys.executable, "-m", "remediator", "run", "--config", str(config), "--mode", mode.value],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=err,
            env=public_environment(os.environ),
            start_new_session=True,
        )
    guard.process(daemon.pid, signal.SIGTERM)
    return daemon


@contextlib.contextmanager
def _signals_end_us() -> Iterator[None]:
    """Let every signal that would kill us end the demo in an orderly way instead."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in _ENDING}
    for number in (signal.SIGTERM, signal.SIGHUP):  # Python itself does so for SIGINT
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bury() -> None:
    """Take note of every child that has ended, lest it stay in the list of processes."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _turn_deaf() -> None:
    """Let nothing disturb the cleaning up."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
