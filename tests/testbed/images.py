"""Building the images that tests run, each by one process at a time."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.testbed.engine import SOCKET
from tests.testbed.workers import alone

if TYPE_CHECKING:
    from pathlib import Path


def build_image(image: str, context: Path, base: str, *, dockerfile: Path | None = None) -> None:
    """Build an image; what has not changed comes from the engine's cache, as does what another worker built.

    Args:
        image: Its name.
        context: The directory that it is built from.
        base: The image that it is built on.
        dockerfile: Where that is not in `context`.

    Raises:
        RuntimeError: The build failed; the message holds what it said.
    """
    command = ["docker", "--host", SOCKET, "build", "--quiet", "--tag", image]
    command += [f"--build-arg=BASE_IMAGE={base}", *(["--file", str(dockerfile)] if dockerfile else [])]
    with alone(f"build-{image.replace('/', '-')}"):
        done = subprocess.run(
            [*command, str(context)],
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    if done.returncode != 0:
        raise RuntimeError(f"the build of {image} failed: {done.stdout[-3000:]}{done.stderr}")
