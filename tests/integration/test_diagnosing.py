"""What a service says right before it is restarted: by a command, in a real container, in nobody's way."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.command import CommandRuntime
from remediator.adapters.compose import ComposeRuntime, DockerEngine
from remediator.adapters.diagnosing import DiagnosingRuntime
from remediator.core.deposition import MOST, Deposition
from remediator.errors import RejectedError
from remediator.log import Redactor
from remediator.ports import Receipt
from tests.testbed.engine import BUSYBOX_IMAGE
from tests.testbed.haproxy import HAProxy

if TYPE_CHECKING:
    from tests.conftest import MakeProject
    from tests.testbed import engine as testbed

PROXY_CONFIG = Path(__file__).parents[2] / "examples" / "compose" / "haproxy.cfg"
SECOND = timedelta(seconds=1)
SECRET = "hunter2hunter2"
COMPOSE = f"""
services:
  web:
    image: {BUSYBOX_IMAGE}
    command: sleep 3600
    stop_signal: SIGKILL
"""


def command(state: Path, told: list[Deposition], code: str, within: timedelta) -> DiagnosingRuntime:
    """A service that a file stands for, with a diagnostic in Python."""
    state.write_text("first")
    runtime = CommandRuntime(
        "worker",
        restart=[sys.executable, "-c", f"open({str(state)!r}, 'w').write('second')"],
        inspect=["cat", str(state)],
        deadline=timedelta(seconds=20),
    )
    argv = [sys.executable, "-c", code]
    examine = partial(runtime.examine, argv=argv, within=within)
    return DiagnosingRuntime(
        runtime, examine, within, told.append, lambda text: text.replace(SECRET, "***"), SystemClock()
    )


async def restart(runtime: DiagnosingRuntime) -> tuple[Receipt, float]:
    """Ask the only replica, and restart it; tell how long that took."""
    (replica,) = await runtime.replicas()
    begun = time.monotonic()
    await runtime.question(replica)
    receipt = await runtime.restart(replica)
    return receipt, time.monotonic() - begun


async def test_what_it_prints_is_kept_and_it_is_restarted(tmp_path: Path) -> None:
    """With how it ended, without secrets, and no more than there is room for."""
    told: list[Deposition] = []
    code = (
        f"import sys; print('busy with {SECRET}' + 'x' * 100000); print('hm', file=sys.stderr); sys.exit(3)"
    )
    receipt, _ = await restart(command(tmp_path / "state", told, code, 20 * SECOND))
    assert receipt is Receipt.SENT
    assert (tmp_path / "state").read_text() == "second"
    (deposition,) = told
    assert (deposition.service, deposition.replica, deposition.result) == ("worker", "worker", "exit 3")
    assert deposition.output.startswith("busy with ***xxx")
    assert SECRET not in deposition.output
    assert len(deposition.output) <= MOST


async def test_a_secret_at_the_end_of_what_is_kept_is_masked(tmp_path: Path) -> None:
    """Given output that is cut in the middle of a password, then its beginning is not kept either."""
    told: list[Deposition] = []
    code = f"print('x' * {MOST - 8} + ' {SECRET}' + 'y' * 100)"
    runtime = replace(command(tmp_path / "state", told, code, 20 * SECOND), mask=Redactor([SECRET]).text)
    await restart(runtime)
    assert told[0].output.startswith("xxx")
    assert "hunter" not in told[0].output


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(600)", "did not end within 1s"),
        ("while True: print('x' * 1000)", "did not end within 1s"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ],
)
async def test_one_that_hangs_or_fails_holds_up_nothing(tmp_path: Path, code: str, said: str) -> None:
    """Given a diagnostic that never ends, when its time is over, then the restart follows."""
    told: list[Deposition] = []
    receipt, took = await restart(command(tmp_path / "state", told, code, SECOND))
    assert receipt is Receipt.SENT
    assert (tmp_path / "state").read_text() == "second"
    assert took < 15
    assert said in told[0].result


async def test_one_that_does_not_exist_is_said(tmp_path: Path) -> None:
    """And the restart follows."""
    told: list[Deposition] = []
    runtime = command(tmp_path / "state", told, "", SECOND)
    inner = runtime.runtime
    assert isinstance(inner, CommandRuntime)
    missing = DiagnosingRuntime(
        inner,
        partial(inner.examine, argv=["/no/such/program"], within=SECOND),
        SECOND,
        told.append,
        str,
        SystemClock(),
    )
    receipt, _ = await restart(missing)
    assert receipt is Receipt.SENT
    assert "cannot be run" in told[0].result


def in_container(
    project: testbed.ComposeProject, engine: DockerEngine, told: list[Deposition], *argv: str
) -> DiagnosingRuntime:
    """The project's service `web`, with a diagnostic in its container."""
    runtime = ComposeRuntime("web", project=project.name, compose_service="web", engine=engine)
    examine = partial(runtime.examine, argv=argv, within=2 * SECOND)
    return DiagnosingRuntime(runtime, examine, 2 * SECOND, told.append, str, SystemClock())


async def test_a_container_is_asked_from_within(
    docker_engine: testbed.DockerEngine, compose_project: MakeProject
) -> None:
    """Its own view of itself; then it is restarted, also when the program never ends."""
    project = compose_project(COMPOSE)
    container = project.container("web")
    engine = DockerEngine(docker_engine.url)
    told: list[Deposition] = []
    try:
        for argv in (["sh", "-c", "hostname; exit 4"], ["sleep", "600"], ["yes"], ["no-such-program"]):
            before = container.attrs["State"]["StartedAt"]
            receipt, took = await restart(in_container(project, engine, told, *argv))
            container.reload()
            assert receipt is Receipt.SENT
            assert container.attrs["State"]["StartedAt"] != before
            assert took < 30
    finally:
        engine.close()
    asked, slept, endless, absent = told
    assert (asked.result, asked.output.strip()) == ("exit 4", (container.id or "")[:12])
    assert slept.result == "did not end within 2s"
    assert endless.output.startswith("y\ny\n")
    assert len(endless.output) <= MOST
    assert absent.result in ("exit 126", "exit 127") or "no-such-program" in absent.result


@pytest.mark.parametrize("allowed", [False, True])
async def test_the_examples_proxy_lets_it_through_only_when_told(
    docker_engine: testbed.DockerEngine, compose_project: MakeProject, tmp_path: Path, *, allowed: bool
) -> None:
    """By default nobody runs anything in a container, and the restart follows all the same."""
    project = compose_project(COMPOSE)
    told: list[Deposition] = []
    env = {"DOCKER_PROXY_EXEC": "yes"} if allowed else {}
    socket = Path(docker_engine.url.removeprefix("unix://"))
    with HAProxy(PROXY_CONFIG, tmp_path / "docker.sock", socket, env) as proxy:
        engine = DockerEngine(f"unix://{proxy.path}")
        runtime = in_container(project, engine, told, "echo", "hello")
        try:
            receipt, _ = await restart(runtime)
            if not allowed:
                (replica,) = await runtime.replicas()
                with pytest.raises(RejectedError):
                    await engine.execute(replica.id, ["true"], SECOND)
        finally:
            engine.close()
    assert receipt is Receipt.SENT
    assert (told[0].output.strip() == "hello") is allowed
