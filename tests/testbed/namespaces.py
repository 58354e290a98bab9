"""A PostgreSQL server in a network namespace of its own, behind a virtual cable that a test can spoil."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.testbed.missing import missing
from tests.testbed.postgres import PostgresServer

if TYPE_CHECKING:
    from types import TracebackType

_CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace and the cable to it: ours `near`, the other end `far`; a context manager.

    Needs root. Everything has a name of its own and is removed at the end.
    """

    def __init__(self) -> None:
        """Make nothing yet."""
        number = secrets.randbelow(1 << 14)
        self.name = f"rmd-{os.getpid()}-{number}"
        self._link = f"rmd{number:05}"
        # From the block that is set aside for measurements between devices.
        network = f"198.18.{number >> 6}"
        self.near, self.far = (f"{network}.{(number & 63) * 4 + host}" for host in (1, 2))

    def __enter__(self) -> Self:
        for program in ("ip", "iptables", "tc"):
            if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
                missing(f"{program} is not installed, for faults on a network")
        made = _run("ip", "netns", "add", self.name)
        if made.returncode:
            missing(f"no network namespaces here (needs root): {made.stderr.strip()}")
        try:
            self._cable()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def drop(self, *match: str) -> None:
        """Swallow packets to the server, all or those that match."""
        self.inside("iptables", "-A", "INPUT", *match, "-j", "DROP")

    def lose(self, share: float) -> None:
        """Swallow this share of the packets to the server, at random."""
        self.drop("-m", "statistic", "--mode", "random", "--probability", str(share))

    def reset(self) -> None:
        """Answer every packet to the server with a reset."""
        self.inside("iptables", "-A", "INPUT", "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")

    def slow(self, bits_per_second: int) -> None:
        """Let what the server sends trickle, queued for as long as it takes."""
        rate = ("rate", str(bits_per_second), "burst", "1600", "limit", "100000")
        self.inside("tc", "qdisc", "replace", "dev", self._link, "root", "tbf", *rate)

    def heal(self) -> None:
        """Let everything pass again."""
        self.inside("iptables", "-F")
        _run("ip", "netns", "exec", self.name, "tc", "qdisc", "del", "dev", self._link, "root")

    def inside(self, *argv: str) -> None:
        """Run a program in the namespace.

        Raises:
            RuntimeError: It failed; the message holds what it said.
        """
        _must("ip", "netns", "exec", self.name, *argv)

    def enter(self) -> None:
        """Move the calling thread, and the processes that it starts, into the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/run/netns/{self.name}").open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def _cable(self) -> None:
        ours = f"{self._link}h"
        _must("ip", "link", "add", ours, "type", "veth", "peer", "name", self._link, "netns", self.name)
        _must("ip", "addr", "add", f"{self.near}/30", "dev", ours)
        _must("ip", "link", "set", ours, "up")
        for command in (
            ("addr", "add", f"{self.far}/30", "dev", self._link),
            ("link", "set", self._link, "up"),
            ("link", "set", "lo", "up"),
        ):
            self.inside("ip", *command)

    def _remove(self) -> None:
        _run("ip", "netns", "del", self.name)  # and its cable with it


class RemoteServer(PostgresServer):
    """A server that is reached through the cable only; its Unix socket is for the test itself."""

    def __init__(self, version: int, bin_dir: Path, namespace: Namespace, **settings: str | int) -> None:
        """Make the cluster; nothing runs yet."""
        super().__init__(version, bin_dir, settings)
        self.host = namespace.far
        self._namespace = namespace
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {namespace.near}/32 scram-sha-256\n")

    def start(self) -> None:
        """Start it inside: a namespace is a thread's, and a process inherits it from the thread."""
        failures: list[BaseException] = []

        def inside() -> None:
            try:
                self._namespace.enter()
                PostgresServer.start(self)
            except BaseException as error:  # noqa: BLE001  raised again below
                failures.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if failures:
            with suppress(Exception):
                self.stop("immediate")
            raise failures[0]


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


def _must(*argv: str) -> None:
    done = _run(*argv)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
