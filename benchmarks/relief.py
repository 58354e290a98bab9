"""From the 90 % crossing to slots free, beside a shell loop that does the runbook with psql and docker."""

from __future__ import annotations

import os
import subprocess
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from benchmarks.figures import heading, line
from tests.testbed.engine import ComposeProject, DockerEngine, connect
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.stack import APP_IMAGE, build_images

# Episodes start at evenly spaced phases of the cadence: where in its second the crossing falls is luck.
ROUNDS = 6
MAX_CONNECTIONS = 105
RESERVED = 2  # for both alike: without a slot of its own the shell loop is shut out of the full server
USABLE = 100
CROSSING = 90
# The clock starts a fifth of a second of leaking earlier: a cure that strikes at once hides the crossing.
SEEN = CROSSING - 2
FREE = 60
IDLE_SECONDS = 3
LONGEST = 90.0
LASTING = 6.0

LEAK = """
import os, sys, time, psycopg
marker = "/state/" + sys.argv[1]
sessions = []
healed = os.path.exists(marker) or sys.argv[1] == "api"
open(marker, "w").close()
while True:
    if not healed:
        try:
            sessions.append(psycopg.connect(os.environ["DSN"], autocommit=True, connect_timeout=2))
            sessions[-1].execute("select 1")
        except psycopg.Error:
            pass
    time.sleep(0.08)
"""

SHELL = """
used() {{ psql "$DSN" -XAtc "select count(*) from pg_stat_activity where backend_type = 'client backend'"; }}
while :; do
  if [ "$(used)" -gt {crossing} ]; then
    psql "$DSN" -XAtc "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'
      and state = 'idle' and state_change < now() - interval '{idle} s'" >/dev/null
    for service in celery_worker api; do
      label=label=com.docker.compose.service=$service
      docker restart "$(docker ps -q --filter label={project} --filter $label)" >/dev/null
      sleep 1
    done
  fi
  sleep 1
done
"""


@dataclass(frozen=True, slots=True)
class Relief:
    """Seconds from the crossing until slots are free, and free for good; and containers restarted."""

    free: float
    lasting: float
    restarts: int


def run() -> None:
    """Measure and print."""
    engine = connect()
    if engine is None:
        print("\nrelief: left out, no Docker Engine answers")
        return
    build_images()
    ours, shell = [], []
    for episode in range(ROUNDS):
        ours.append(_episode(engine, _remediator, episode / ROUNDS))
        shell.append(_episode(engine, _shell_loop, episode / ROUNDS))
    engine.client.close()
    heading(
        f"From {CROSSING} % used to at most {FREE} %, while a leak goes on, 1 s cadence, mean of {ROUNDS}"
    )
    line("slots free: remediator", f"{mean([r.free for r in ours]):.2f} s", "not slower")
    line("slots free: shell loop of psql and docker", f"{mean([r.free for r in shell]):.2f} s")
    line(
        "free for good: remediator, which settles and looks first",
        f"{mean([r.lasting for r in ours]):.2f} s",
    )
    line("free for good: shell loop, which restarts at once", f"{mean([r.lasting for r in shell]):.2f} s")
    line(
        "containers restarted by remediator",
        f"{mean([r.restarts for r in ours]):.0f}",
        "1, the leaking one",
    )
    line("containers restarted by the shell loop", f"{mean([r.restarts for r in shell]):.0f}")


Healer = Callable[[Path, str, str], "subprocess.Popen[bytes]"]


def _episode(engine: DockerEngine, healer: Healer, phase: float) -> Relief:
    settings: dict[str, str | int] = {"max_connections": MAX_CONNECTIONS, "reserved_connections": RESERVED}
    with TemporaryDirectory() as name, PostgresServer(16, postgres_binaries()[16], settings) as server:
        directory = Path(name)
        directory.chmod(0o755)
        watch, app = create_watch_role(server, reserved=True), create_app_role(server)
        project = ComposeProject(engine, directory / "project", _compose(directory, app))
        (directory / "leak.py").write_text(LEAK)
        (directory / "state").mkdir()
        healing = healer(directory, watch, project.name)
        try:
            time.sleep(phase)
            project.up()
            before = _starts(project)
            free, lasting = _watch(server)
            return Relief(free, lasting, sum(_starts(project)[k] != v for k, v in before.items()))
        finally:
            healing.terminate()
            healing.wait()
            project.remove()


def _compose(directory: Path, dsn: str) -> str:
    service = textwrap.dedent(f"""
        image: {APP_IMAGE}
        network_mode: host
        init: true
        stop_grace_period: 5s
        environment: {{DSN: "{dsn.replace("$", "$$")}"}}
        volumes: ["{directory}/leak.py:/leak.py:ro", "{directory}/state:/state"]
        user: "0"
    """)
    services = "".join(
        f"  {name}:\n    command: [python, /leak.py, {name}]\n{textwrap.indent(service, '    ')}"
        for name in ("celery_worker", "api")
    )
    return f"services:\n{services}"


def _starts(project: ComposeProject) -> dict[str, str]:
    return {str(c.id): c.attrs["State"]["StartedAt"] for c in project.containers()}


def _watch(server: PostgresServer) -> tuple[float, float]:
    """Wait for the crossing, then for relief that lasts; tell the first relief and the last."""
    crossed = relieved = first = 0.0
    begun = time.perf_counter()
    with server.superuser() as connection:
        while time.perf_counter() - begun < LONGEST:
            row = connection.execute(
                "select count(*) from pg_stat_activity where backend_type = 'client backend'"
            ).fetchone()
            used = row[0] if row else 0
            now = time.perf_counter()
            if not crossed:
                crossed = now if used >= SEEN else 0.0
            elif used > FREE:
                relieved = 0.0
            elif not relieved:
                relieved = now
                first = first or now
            elif now - relieved > LASTING:
                return first - crossed, relieved - crossed
            time.sleep(0.02)
    raise TimeoutError(f"no relief within {LONGEST:g} s")


def _remediator(directory: Path, dsn: str, project: str) -> subprocess.Popen[bytes]:
    config = directory / "config.yaml"
    config.write_text(
        textwrap.dedent(f"""
        version: 1
        mode: enforce
        state_dir: {directory}
        databases: [{{name: web, dsn: "{dsn}", policy: fast}}]
        services:
          - name: celery_worker
            compose: {{project: {project}, service: celery_worker}}
            verify: {{steady_for: 1s}}
          - name: api
            compose: {{project: {project}, service: api}}
            verify: {{steady_for: 1s}}
        policies:
          - name: fast
            check_every: {{normal: 1s, monitor: 1s, alert: 1s, critical: 1s}}
            levels:
              alert: {{utilization: 50%, idle: none}}
              critical: {{utilization: 90%, for: 0s}}
            remediate: {{until: {{utilization: 50%}}, settle: 1s, steps: [
              {{terminate_idle: {{older_than: {IDLE_SECONDS}s}}}},
              {{restart: {{service: celery_worker}}}}, {{restart: {{service: api}}}}]}}
        """)
    )
    config.chmod(0o600)
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(["remediator", "run", "--config", config], stdout=log, env=_path())


def _shell_loop(directory: Path, dsn: str, project: str) -> subprocess.Popen[bytes]:
    script = directory / "loop.sh"
    label = f"com.docker.compose.project={project}"
    script.write_text(SHELL.format(crossing=CROSSING, idle=IDLE_SECONDS, project=label))
    return subprocess.Popen(["bash", script], env=_path() | {"DSN": dsn})


def _path() -> dict[str, str]:
    psql = postgres_binaries()[16]
    programs = Path(__file__).parents[1] / ".venv" / "bin"
    return {**os.environ, "PATH": f"{programs}:{psql}:{os.environ['PATH']}"}
