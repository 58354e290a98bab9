"""A Docker Engine of a test's own, which can be stopped, killed and frozen without harm to anybody else's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import docker

from tests.testbed.engine import BUSYBOX_IMAGE, DockerEngine, remove_container
from tests.testbed.missing import missing
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

# Containers here have no network, so that nothing of the machine's own network is touched.
_APART = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs")


class PrivateEngine:
    """`dockerd` with a directory and a containerd of its own; as a context manager it runs.

    Its containers must have `network_mode: none`. The only image in it is busybox.
    """

    def __init__(self, shared: DockerEngine) -> None:
        """Prepare it; nothing runs yet.

        Args:
            shared: The machine's engine, which has the image.
        """
        if os.geteuid() != 0 or shutil.which("dockerd") is None:
            missing("an engine of the test's own needs root and dockerd (make testbed installs it)")
        self._shared = shared
        # A unix socket's path must be short.
        self.directory = Path(tempfile.mkdtemp(prefix="rt-dockerd-"))
        self.socket = self.directory / "docker.sock"
        self.url = f"unix://{self.socket}"
        self._containerd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    def __enter__(self) -> Self:
        try:
            # Apart from dockerd, as where a service manager starts both: it survives that one's crash.
            self._containerd = self._run("containerd", f"--config={self._containerd_config()}")
            self.start()
            self._load()
        except BaseException:  # whatever it was, nobody else would stop it
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.start()
                self.empty()
        finally:
            self.stop()
            if self._containerd is not None:
                self._containerd.terminate()
                self._containerd.wait(60)
            self._unmount()
            shutil.rmtree(self.directory)

    @property
    def engine(self) -> DockerEngine:
        """The engine as Compose projects are given it; it must run."""
        return DockerEngine(self.url, docker.DockerClient(base_url=self.url, timeout=60))

    def start(self) -> None:
        """Start it, or thaw it, and wait until it answers; nothing happens when it runs."""
        if self._frozen:
            self.thaw()
        if self._process is None:
            self.launch()
        wait_until(self.answers, what="the engine's answer", within=60, every=0.05)

    def launch(self) -> None:
        """Start it without waiting for it to answer."""
        directory = self.directory
        # In a network namespace of its own: an engine without a bridge removes the machine's `docker0`.
        self._process = self._run(
            "unshare",
            "--net",
            "dockerd",
            f"--host={self.url}",
            f"--pidfile={directory / 'pid'}",
            f"--data-root={directory / 'data'}",
            f"--exec-root={directory / 'exec'}",
            f"--containerd={self._containerd_socket}",
            *_APART,
        )

    def answers(self) -> bool:
        """Whether it answers."""
        # Without the SDK, which leaves sockets open that could not be connected.
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket))
                client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return client.recv(64).startswith(b"HTTP/1.0 200")
            except OSError:
                return False

    def stop(self) -> None:
        """Stop it in order: it stops its containers first, and starts those again that want it."""
        self._end(signal.SIGTERM)

    def crash(self) -> None:
        """Kill it; its containers run on until it is started again, which ends and starts them anew."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in its tracks: it takes connections, and answers none."""
        if self._process is None:
            raise RuntimeError("it does not run")
        self._process.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None and self._frozen:
            self._process.send_signal(signal.SIGCONT)
        self._frozen = False

    def empty(self) -> None:
        """Remove every container."""
        client = self.engine.client
        try:
            for container in client.containers.list(all=True):
                remove_container(container)
        finally:
            client.close()

    def _load(self) -> None:
        image = self._shared.client.images.get(BUSYBOX_IMAGE)
        client = self.engine.client
        try:
            client.images.load(b"".join(image.save(named=True)))
        finally:
            client.close()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self.thaw()
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def _unmount(self) -> None:
        """Undo the mounts that a killed engine has left behind."""
        targets = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for target in reversed(targets):
            if target.startswith(f"{self.directory}/"):
                subprocess.run(["umount", target], check=True)

    @property
    def _containerd_socket(self) -> Path:
        return self.directory / "containerd.sock"

    def _containerd_config(self) -> Path:
        config = self.directory / "containerd.toml"
        config.write_text(f"""\
version = 2
root = "{self.directory / "containerd-root"}"
state = "{self.directory / "containerd-state"}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{self._containerd_socket}"
""")
        return config

    def _run(self, *argv: str) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
