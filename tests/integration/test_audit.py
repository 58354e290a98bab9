"""The audit of the locks: it fails when there is a vulnerability, and only then."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.testbed.missing import missing

ROOT = Path(__file__).parents[2]
TOOL = Path(sys.executable).with_name("pip-audit")
FLAW_ID = "GHSA-1234-5678-9abc"
FLAW = {
    "id": FLAW_ID,
    "summary": "It leaks.",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of one package."""
    if not TOOL.exists():
        missing("pip-audit is not installed (make lint installs it)")
    path = tmp_path / "lock.txt"
    path.write_text(f"leaky==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    return path


@contextmanager
def service(answer: object) -> Iterator[str]:
    """A vulnerability service with one answer for all questions; its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audit(lock: Path, url: str, within: str = "60") -> subprocess.CompletedProcess[str]:
    """Audit a lock with the help of this service."""
    env = {**os.environ, "OSV_URL": url, "AUDIT_WITHIN": within, "PIP_AUDIT": str(TOOL)}
    return subprocess.run(
        [ROOT / "scripts" / "audit", lock], env=env, capture_output=True, text=True, check=False, timeout=90
    )


def test_a_vulnerability_fails(lock: Path) -> None:
    """With its id, and the version that has it no more."""
    with service({"vulns": [FLAW]}) as url:
        done = audit(lock, url)
    assert done.returncode == 1
    assert FLAW_ID in done.stdout
    assert "1.1" in done.stdout


def test_without_one_it_passes(lock: Path) -> None:
    """And says what was looked at."""
    with service({}) as url:
        done = audit(lock, url)
    assert (done.returncode, done.stdout) == (0, f"audit: no known vulnerability in {lock}\n")


def test_without_an_answer_it_is_said_in_one_line_and_nothing_fails(lock: Path) -> None:
    """Neither a service that refuses nor one that is silent holds anything up."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        began = time.monotonic()
        refused = audit(lock, f"http://127.0.0.1:{port}/")
        silent.listen()
        hung = audit(lock, f"http://127.0.0.1:{port}/", within="5")
        assert time.monotonic() - began < 40
    for done in (refused, hung):
        assert done.returncode == 0
        assert done.stdout.startswith("audit: skipped, the vulnerability service did not answer")
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == ""
