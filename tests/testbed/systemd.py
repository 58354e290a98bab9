"""A container in which a real systemd is process 1."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.testbed.engine import SYSTEMD_IMAGE, DockerEngine, remove_container
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class SystemdContainer:
    """A booted system; commands run in it as root."""

    def __init__(self, engine: DockerEngine, image: str = SYSTEMD_IMAGE, volumes: Sequence[str] = ()) -> None:
        """Boot it and return when systemd has started its units.

        Args:
            engine: Where it is to run.
            image: An image with systemd in it.
            volumes: What of the host it sees, as `docker run --volume` has it.
        """
        self.engine = engine
        self.container = engine.client.containers.run(
            image,
            ["/lib/systemd/systemd"],
            detach=True,
            cap_add=["SYS_ADMIN", "SYS_PTRACE"],
            security_opt=["seccomp=unconfined"],
            cgroupns="private",
            tmpfs={"/run": "", "/run/lock": "", "/tmp": "exec"},  # noqa: S108
            volumes=["/sys/fs/cgroup:/sys/fs/cgroup:rw", *volumes],
        )
        try:
            wait_until(self._booted, what="systemd to boot", within=60, every=0.2)
            # As on any machine; without it systemd cannot hand credentials to a service.
            self.run("mount", "--make-rshared", "/")
        except BaseException:  # whatever it was, nobody else would remove it
            self.remove()
            raise

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command in the container and return what it printed, errors included.

        Raises:
            RuntimeError: It failed, and `check` is set.
        """
        done = subprocess.run(
            ["docker", "--host", self.engine.url, "exec", str(self.container.id), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=150,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)} exited {done.returncode}: {done.stdout}")
        return done.stdout

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file or directory of the host into the container, with its mode and without its owner."""
        # Through the container's own tar: the engine's copy does not see what is mounted on /run and /tmp.
        packed = subprocess.run(
            ["tar", "-C", source.parent, "--owner=0", "--group=0", "-c", source.name],
            check=True,
            capture_output=True,
        )
        subprocess.run(
            [
                "docker",
                "--host",
                self.engine.url,
                "exec",
                "-i",
                str(self.container.id),
                "tar",
                "-C",
                target,
                "-x",
            ],
            input=packed.stdout,
            check=True,
        )

    def remove(self) -> None:
        """Remove the container at once."""
        remove_container(self.container)

    def _booted(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).strip()
        if state == "degraded":
            raise RuntimeError(
                f"systemd booted with failures: {self.run('systemctl', '--failed', '--plain')}"
            )
        return state == "running"
