"""A real Prometheus for the length of a test, and its checking tool."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.testbed.waiting import wait_until
from tests.testbed.web import ask, free_port

if TYPE_CHECKING:
    from pathlib import Path


def programs() -> tuple[str, str] | None:
    """Where the server and its tool are, None when one of them is not there."""
    server, tool = shutil.which("prometheus"), shutil.which("promtool")
    return (server, tool) if server and tool else None


class Prometheus:
    """Prometheus with a configuration of one's own.

    Args:
        server: The program.
        tool: `promtool`.
        directory: Where everything of it goes.
    """

    def __init__(self, server: str, tool: str, directory: Path) -> None:
        self.directory = directory
        self._server = server
        self._tool = tool
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir()

    def check(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run promtool."""
        return subprocess.run(
            [self._tool, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60
        )

    def start(self, config: Path) -> None:
        """Start the server and wait until it answers."""
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(
                        self._server,
                        f"--config.file={config}",
                        f"--storage.tsdb.path={self.directory / 'data'}",
                    ),
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, what="Prometheus", within=60)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression comes to now."""
        return self._get(f"query?query={quote(expression)}")["result"]  # type: ignore[no-any-return]

    def alerts(self) -> dict[str, str]:
        """The state of each active alert, by its name."""
        return {a["labels"]["alertname"]: a["state"] for a in self._get("alerts")["alerts"]}

    def stop(self) -> None:
        """End the server."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def _answers(self) -> bool:
        try:
            return ask(self._port, "/-/ready").status == 200
        except OSError:
            return False

    def _get(self, what: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(ask(self._port, f"/api/v1/{what}").body)
        return answer["data"]  # type: ignore[no-any-return]
