"""A PostgreSQL server that lives for one demo, in a directory of its own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from remediator.demo.binaries import (
    ServerUser,
    major_version,
    readable,
    run_program,
    server_environment,
)
from remediator.demo.guard import Guard
from remediator.errors import UnavailableError

HOST = "127.0.0.1"
SUPERUSER = "postgres"
_RESERVED_SINCE = 16
_START_WITHIN = 60.0
# Below the ports that the kernel hands to clients.
_PORTS = range(20_000, 32_000)
_ANY_TRIES = 100


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        version: Its major version.
        port: On 127.0.0.1, where roles need their password.
        socket_dir: Where its Unix socket is; only its user and root get there, without a password.
        pid: The postmaster's.
    """

    version: int
    port: int
    socket_dir: Path
    pid: int

    @property
    def has_reserved(self) -> bool:
        """Whether it can keep slots for a role that is no superuser."""
        return self.version >= _RESERVED_SINCE


def start_server(bin_dir: Path, user: ServerUser, directory: Path, slots: int, guard: Guard) -> Server:
    """Make a cluster and start a server on it.

    Args:
        bin_dir: The server's programs.
        user: The system user to run it as.
        directory: Where to put everything.
        slots: How many connections ordinary roles shall get.
        guard: Told what to remove and to end.

    Raises:
        UnavailableError: It did not start; the message says why.
    """
    home = directory / "postgres"
    guard.directory(home)
    guard.directory(directory / "programs")
    home.mkdir(mode=0o700)
    if user.uid is not None and user.gid is not None:
        os.chown(home, user.uid, user.gid)
    programs = readable(bin_dir, user, directory / "programs")
    version = major_version(programs, user)
    data = home / "data"
    run_program(
        [
            *(programs / "initdb", "-D", data, "-U", SUPERUSER, "--no-sync", "--encoding=UTF8"),
            *("--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"),
        ],
        user,
        home,
    )
    port = _free_port()
    settings = [f"--{name}={value}" for name, value in _settings(version, slots).items()]
    with (directory / "postgres.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  a program that was looked for
            [programs / "postgres", "-D", data, "-h", HOST, "-p", str(port), "-k", home, *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env=server_environment(),
            start_new_session=True,
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
        )
    guard.process(process.pid, signal.SIGQUIT)  # an immediate shutdown: nothing of it is kept
    _wait_until_ready(process, data, directory / "postgres.log")
    return Server(version, port, home, process.pid)


def _settings(version: int, slots: int) -> dict[str, str | int]:
    """One reserved slot for the daemon where the server knows such a thing, a few for superusers."""
    reserved = {"reserved_connections": 2} if version >= _RESERVED_SINCE else {}
    return {
        **reserved,
        "superuser_reserved_connections": 3,
        "max_connections": slots + 3 + sum(reserved.values()),
        "shared_buffers": "16MB",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
    }


def _wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Wait for the postmaster's own status line to say that it takes connections."""
    deadline = time.monotonic() + _START_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            words = " ".join(log.read_text(errors="replace").split()[-40:])
            raise UnavailableError(f"PostgreSQL did not start: {words}")
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            lines = []
        if [line.strip() for line in lines[7:8]] == ["ready"]:
            return
        time.sleep(0.05)
    raise UnavailableError(f"PostgreSQL did not start within {_START_WITHIN:g} s")


def _free_port() -> int:
    for _ in range(_ANY_TRIES):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise UnavailableError(f"no free port between {_PORTS.start} and {_PORTS.stop}")
