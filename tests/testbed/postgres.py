"""Real PostgreSQL servers for tests, each with a cluster of its own in a temporary directory."""

from __future__ import annotations

import atexit
import os
import random
import select
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, LiteralString, Self
from urllib.parse import quote, urlencode

import psycopg

from tests.testbed.pgbinaries import own_directory, run_as_server, server_environment, server_user
from tests.testbed.waiting import wait_until
from tests.testbed.workers import worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

SUPERUSER = "postgres"
SUPERUSER_PASSWORD = "superuser's own"

StopMode = Literal["smart", "fast", "immediate"]
_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

_LONGEST_END = 30
"""Seconds."""

# Nothing in a test outlives its server, so nothing is forced to disk.
_FAST: dict[str, str | int] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
}


@contextmanager
def _until_ended(pid: int) -> Iterator[None]:
    """Leave the block only once the process has ended (a zombie has)."""
    descriptor = os.pidfd_open(pid)
    try:
        yield
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(_LONGEST_END * 1000):
            raise TimeoutError(f"process {pid} has not ended within {_LONGEST_END} s")
    finally:
        os.close(descriptor)


class PostgresServer:
    """One server process with its cluster: `start`, use, `destroy`; as a context manager it does both."""

    def __init__(
        self,
        version: int,
        bin_dir: Path,
        settings: Mapping[str, str | int] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Make the cluster; nothing runs yet.

        Args:
            version: The major version.
            bin_dir: Where `postgres` and `initdb` are.
            settings: Server settings, for example `max_connections`.
            env: More variables for the server's environment.
        """
        self.version = version
        self.settings = {**_FAST, **(settings or {})}
        self.env = dict(env or {})
        self.host = "127.0.0.1"
        self.port = _free_port()
        self.directory = own_directory("remediator-pg-")
        """Holds the cluster, the log and the Unix socket."""
        self._postgres = bin_dir / "postgres"
        self._data = self.directory / "data"
        self._log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: set[int] = set()
        # cp keeps the owner, which the server insists on.
        subprocess.run(["cp", "-a", _cluster_template(version, bin_dir), self._data], check=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start the server and return when it takes connections.

        Raises:
            RuntimeError: It ended instead; the message holds its log.
        """
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._postgres,
                    "-D",
                    self._data,
                    "-h",
                    self.host,
                    "-p",
                    str(self.port),
                    "-k",
                    self.directory,
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**server_environment(), **self.env},
                start_new_session=True,
                user=server_user().uid,
                group=server_user().gid,
            )
        wait_until(self._ready, what=f"PostgreSQL {self.version} to start")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait for its end; does nothing when it does not run.

        Args:
            mode: `smart` waits for clients to leave, `fast` disconnects them, `immediate` is a crash.
        """
        if self._process is None:
            return
        self.thaw()
        self._process.send_signal(_STOP_SIGNALS[mode])
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start on the same port, with what `settings` says now."""
        self.stop(mode)
        self.start()

    def destroy(self) -> None:
        """Stop the server if it runs and remove its cluster."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(
        self,
        user: str = SUPERUSER,
        password: str | None = SUPERUSER_PASSWORD,
        dbname: str = "postgres",
        **parameters: str | int,
    ) -> str:
        """A connection URL over TCP.

        Args:
            user: The role.
            password: Its password; None leaves it out.
            dbname: The database.
            parameters: Further libpq parameters, for example `connect_timeout=3`.
        """
        login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
        options = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(dbname, safe='')}{options}"

    @contextmanager
    def superuser(self, dbname: str = "postgres") -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A superuser's connection over the Unix socket, in autocommit mode.

        Its session is gone when this returns, so that nobody who counts sessions afterwards counts it.
        """
        connection = psycopg.connect(
            host=str(self.directory),
            port=self.port,
            user=SUPERUSER,
            dbname=dbname,
            application_name="testbed",
            autocommit=True,
        )
        with _until_ended(connection.info.backend_pid), connection:
            yield connection

    def rows(
        self, query: LiteralString, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser and return its rows, if it has any."""
        with self.superuser() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def alive(self, pids: Iterable[int]) -> set[int]:
        """Those of the sessions that the server still has."""
        found = self.rows("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%(pids)s)", {"pids": list(pids)})
        return {pid for (pid,) in found}

    def freeze(self) -> None:
        """Stop the postmaster in its tracks: connections are accepted by the kernel, never answered."""
        self.freeze_backend(self.pid)

    def freeze_backend(self, pid: int) -> None:
        """Stop one server process in its tracks: its client waits for ever."""
        os.kill(pid, signal.SIGSTOP)
        self._frozen.add(pid)

    def thaw(self) -> None:
        """Let every frozen process go on."""
        for pid in self._frozen:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue
        self._frozen.clear()

    def _ready(self) -> bool:
        """Whether the postmaster's own status line says that it takes connections."""
        if not self.running:
            raise RuntimeError(f"PostgreSQL {self.version} did not start:\n{self.log}")
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # The file of a crashed predecessor may still be there, hence the look at the pid.
        return lines[:1] == [str(self.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]


@cache
def _cluster_template(version: int, bin_dir: Path) -> Path:
    """Initialise a cluster once for each version; servers start from copies."""
    directory = own_directory(f"remediator-initdb{version}-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    password = directory / "password"
    password.write_text(SUPERUSER_PASSWORD)
    password.chmod(0o644)
    data = directory / "data"
    run_as_server(
        [
            *(bin_dir / "initdb", "-D", data, "-U", SUPERUSER, f"--pwfile={password}", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"),
        ],
        cwd=directory,
    )
    return data


def _free_port() -> int:
    """A free port below those that the kernel hands to clients, so that it is still free after a restart.

    Each of the run's workers has ports of its own: one that is free now may be that of a server which is
    down for a moment in another worker's test.
    """
    number, workers = worker()
    for port in random.sample(range(20_000 + number, 32_000, workers), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")
