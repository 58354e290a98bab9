"""Networks that are not ours: behind a virtual cable that a test can spoil, or a container's."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from tests.testbed.missing import missing
from tests.testbed.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from docker.models.containers import Container

_CLONE_NEWNET = 0x40000000
_T = TypeVar("_T")


class Place(Protocol):
    """A network namespace that can be entered; `far` is its address, `near` ours on the way to it."""

    near: str
    far: str

    def enter(self) -> None:
        """Move the calling thread, and the processes that it starts, there."""


def inside(place: Place, call: Callable[[], _T]) -> _T:
    """Call a function in another network namespace: that is a thread's, and what it opens stays there."""
    results: list[_T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            place.enter()
            results.append(call())
        except BaseException as error:  # noqa: BLE001  raised again below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _enter(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


class Inhabited:
    """The network of a container that runs, on the only network it is on."""

    def __init__(self, container: Container) -> None:
        """Look up where it is."""
        container.reload()
        self._pid = int(container.attrs["State"]["Pid"])
        (network,) = container.attrs["NetworkSettings"]["Networks"].values()
        self.near, self.far = str(network["Gateway"]), str(network["IPAddress"])

    def enter(self) -> None:
        """Move the calling thread there."""
        if os.geteuid() != 0:
            missing("a container's network cannot be entered (needs root)")
        _enter(Path(f"/proc/{self._pid}/ns/net"))


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
        except BaseException:  # whatever it was, nobody else would remove it
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
        _enter(Path(f"/run/netns/{self.name}"))

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
    """A server in another network; its Unix socket is for the test itself."""

    def __init__(self, version: int, bin_dir: Path, place: Place, **settings: str | int) -> None:
        """Make the cluster; nothing runs yet."""
        super().__init__(version, bin_dir, settings)
        self.host = place.far
        self._place = place
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")

    def start(self) -> None:
        """Start it there."""
        try:
            inside(self._place, super().start)
        except BaseException:  # whatever it was, nobody else would remove it
            with suppress(Exception):
                self.stop("immediate")
            raise


class Tunnel:
    """A port on loopback that leads into another network, as `ssh -L` makes one; a context manager."""

    def __init__(self, place: Place | None, host: str, port: int) -> None:
        """Listen; nobody is answered yet.

        Args:
            place: Where it ends; None for here.
            host: Where it leads from there.
            port: The port there.
        """
        self._place, self._to = place, (host, port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._server, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                server = self._connect()
                self._open.append(server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()

    def _connect(self) -> socket.socket:
        if self._place is None:
            return socket.create_connection(self._to)
        return inside(self._place, lambda: socket.create_connection(self._to))


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


def _must(*argv: str) -> None:
    done = _run(*argv)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
