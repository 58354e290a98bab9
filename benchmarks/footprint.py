"""Memory and start of the daemon as it is installed: without the demo's and developers' packages."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import heading, line, middle
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_watch_role

ROOT = Path(__file__).parents[1]
STARTS = 5
MANY = 100
MIB = 1024


@dataclass(frozen=True, slots=True)
class Run:
    """One daemon: seconds until its first assessment, and KiB resident after it settled."""

    first: float
    resident: int


def run() -> None:
    """Measure and print."""
    with (
        TemporaryDirectory() as name,
        PostgresServer(16, postgres_binaries()[16], {"max_connections": 250}) as server,
    ):
        directory = Path(name)
        program = _install(directory / "venv")
        dsn = create_watch_role(server)
        heading(f"Daemon as installed; start is the median of {STARTS}")
        python = [_python_start(program.parent / "python") for _ in range(STARTS)]
        one = [_run(program, directory, dsn, 1) for _ in range(STARTS)]
        line("start to first assessment", f"{middle([r.first for r in one]):.2f} s", "<= 0.6 s")
        line("python -c 'import psycopg, docker' alone", f"{middle(python):.2f} s")
        line("resident, watching one database", f"{one[-1].resident / MIB:.1f} MiB", "<= 64 MiB")
        many = _run(program, directory, dsn, MANY)
        line(f"resident, watching {MANY}", f"{many.resident / MIB:.1f} MiB")


def _install(venv: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip: list[str | Path] = [
        venv / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    locked = ROOT / "requirements" / "runtime.txt"
    subprocess.run([*pip, "--require-hashes", "--requirement", locked], check=True, capture_output=True)
    subprocess.run([*pip, "--no-deps", ROOT], check=True, capture_output=True)
    return venv / "bin" / "remediator"


def _python_start(python: Path) -> float:
    begun = time.perf_counter()
    subprocess.run([python, "-c", "import psycopg, docker"], check=True)
    return time.perf_counter() - begun


def _run(program: Path, directory: Path, dsn: str, databases: int) -> Run:
    config = directory / f"{databases}.yaml"
    entries = "\n".join(f"  - {{name: d{i}, dsn: '{dsn}'}}" for i in range(databases))
    service = "services: [{name: api, compose: {project: p, service: api}}]"
    config.write_text(f"version: 1\nstate_dir: {directory}\ndatabases:\n{entries}\n{service}\n")
    config.chmod(0o600)
    begun = time.perf_counter()
    with subprocess.Popen([program, "run", "--config", config], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        first = 0.0
        seen = 0
        while seen < databases:
            if json.loads(daemon.stdout.readline())["event"] == "cycle":
                seen += 1
                first = first or time.perf_counter() - begun
        time.sleep(2)
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        resident = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmRSS"))
        daemon.terminate()
    return Run(first, resident)
