"""What every runtime promises: the same tests for Compose, for commands, and for the shipped fake."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import pytest

from remediator.adapters.command import CommandRuntime
from remediator.adapters.compose import ComposeRuntime, DockerEngine
from remediator.core.model import ReplicaState
from remediator.errors import RejectedError, UnavailableError
from remediator.ports import Receipt
from remediator.testing import FakeRuntime, Reaction
from tests.testbed.engine import BUSYBOX_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from remediator.ports import Runtime
    from tests.conftest import MakeProject

DEADLINE = timedelta(seconds=30)

COMPOSE = f"""
services:
  web:
    image: {BUSYBOX_IMAGE}
    command: sleep 3600
    stop_signal: SIGKILL
"""

# The service is a real process of its own; its start time makes the token unique even if its pid comes back.
INSPECT = """
pid=$(cat "$1/pid") || exit 3
set -- $(cat "/proc/$pid/stat" 2>/dev/null)
[ -n "$3" ] && [ "$3" != Z ] || exit 3
echo "$pid ${22}"
"""
RESTART = """
kill -9 "$(cat "$1/pid")" 2>/dev/null
setsid sleep 3600 </dev/null >/dev/null 2>&1 &
echo $! >"$1/pid"
"""


class Subject(Protocol):
    """A running service, and the hands of somebody else on it."""

    runtime: Runtime

    async def stop(self) -> None:
        """Stop the service."""

    async def start_anew(self) -> None:
        """Restart the service behind the runtime's back."""

    def refusing(self) -> Runtime:
        """The same service, seen through a runtime that may not restart it."""

    def unreachable(self) -> Runtime:
        """A runtime that gets no answer."""


class FakeSubject:
    """The shipped fake."""

    def __init__(self) -> None:
        self.runtime = FakeRuntime("web")

    async def stop(self) -> None:
        """Stop the service."""
        self.runtime.change("web-1", state=ReplicaState.EXITED)

    async def start_anew(self) -> None:
        """Restart the service behind the runtime's back."""
        self.runtime.start_anew("web-1")

    def refusing(self) -> Runtime:
        """May not restart it."""
        self.runtime.script("web-1", Reaction.REJECT)
        return self.runtime

    def unreachable(self) -> Runtime:
        """Gets no answer."""
        self.runtime.available = False
        return self.runtime


class CommandSubject:
    """Two scripts and the process they look after."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name, script in (("inspect", INSPECT), ("restart", RESTART)):
            (directory / name).write_text(script)
        self.runtime = self._runtime(self._script("restart"))

    async def start_anew(self) -> None:
        """Restart the service behind the runtime's back."""
        self.start()

    async def stop(self) -> None:
        """Stop the service."""
        self.kill()

    def start(self) -> None:
        """Start the process, anew if it runs."""
        subprocess.run(self._script("restart"), check=True)

    def kill(self) -> None:
        """End the process."""
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self._directory / "pid").read_text()), signal.SIGKILL)

    def refusing(self) -> Runtime:
        """May not restart it."""
        return self._runtime(("false",))

    def unreachable(self) -> Runtime:
        """Gets no answer."""
        hung = ("sleep", "3600")
        return CommandRuntime("web", restart=hung, inspect=hung, deadline=timedelta(seconds=0.2))

    def _runtime(self, restart: tuple[str, ...]) -> CommandRuntime:
        return CommandRuntime("web", restart=restart, inspect=self._script("inspect"), deadline=DEADLINE)

    def _script(self, name: str) -> tuple[str, ...]:
        return ("sh", str(self._directory / name), str(self._directory))


class ComposeSubject:
    """A container of a real Compose project."""

    def __init__(self, make_project: MakeProject) -> None:
        self._project = make_project(COMPOSE)
        self._engines: list[DockerEngine] = []
        self.runtime = self._runtime(self._engine())

    async def stop(self) -> None:
        """Stop the service."""
        self._project.container("web").stop(timeout=0)

    async def start_anew(self) -> None:
        """Restart the service behind the runtime's back."""
        self._project.container("web").restart(timeout=0)

    def refusing(self) -> Runtime:
        """May not restart it."""
        return self._runtime(self._engine(read_only=True))

    def unreachable(self) -> Runtime:
        """Gets no answer."""
        engine = DockerEngine(f"unix://{self._project.directory}/nobody.sock")
        return self._runtime(engine)

    def close(self) -> None:
        """Close what was opened."""
        for engine in self._engines:
            engine.close()

    def _engine(self, *, read_only: bool = False) -> DockerEngine:
        engine = DockerEngine(self._project.engine.url, read_only=read_only)
        self._engines.append(engine)
        return engine

    def _runtime(self, engine: DockerEngine) -> ComposeRuntime:
        return ComposeRuntime("web", project=self._project.name, compose_service="web", engine=engine)


@pytest.fixture(params=["fake", "command", pytest.param("compose", marks=pytest.mark.docker)])
async def subject(request: pytest.FixtureRequest) -> Subject:
    """A service that runs, on each runtime in turn."""
    made: Subject = request.getfixturevalue(f"{request.param}_subject")
    return made


@pytest.fixture
def fake_subject() -> FakeSubject:
    """A service in memory."""
    return FakeSubject()


@pytest.fixture
def command_subject(tmp_path: Path) -> Iterator[CommandSubject]:
    """A service of two scripts; its process ends with the test."""
    made = CommandSubject(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def compose_subject(compose_project: MakeProject) -> Iterator[ComposeSubject]:
    """A service of a real Compose project."""
    made = ComposeSubject(compose_project)
    yield made
    made.close()


async def test_two_looks_at_an_undisturbed_service_are_equal(subject: Subject) -> None:
    """Nothing in a replica changes by itself."""
    [replica] = await subject.runtime.replicas()
    assert (replica.service, replica.state, replica.exempt) == ("web", ReplicaState.RUNNING, None)
    assert replica.id
    assert replica.name
    assert replica.started
    assert await subject.runtime.replicas() == (replica,)


async def test_a_restart_shows_in_the_token_of_the_start(subject: Subject) -> None:
    """The same replica runs, since another moment."""
    [before] = await subject.runtime.replicas()
    assert await subject.runtime.restart(before) is Receipt.SENT
    [after] = await subject.runtime.replicas()
    assert after.started != before.started
    fresh = replace(before, started=after.started, started_at=after.started_at)
    assert after == replace(fresh, addresses=after.addresses)


async def test_one_look_allows_one_restart(subject: Subject) -> None:
    """The second restart by the same look finds the service changed, and leaves it."""
    [before] = await subject.runtime.replicas()
    await subject.runtime.restart(before)
    after = await subject.runtime.replicas()
    assert await subject.runtime.restart(before) is Receipt.CHANGED
    assert await subject.runtime.replicas() == after


async def test_what_somebody_else_restarted_is_left(subject: Subject) -> None:
    """A deploy that came first is not disturbed."""
    [before] = await subject.runtime.replicas()
    await subject.start_anew()
    after = await subject.runtime.replicas()
    assert after[0].started != before.started
    assert await subject.runtime.restart(before) is Receipt.CHANGED
    assert await subject.runtime.replicas() == after


async def test_what_somebody_stopped_stays_stopped(subject: Subject) -> None:
    """A restart does not start anything, whether the look at it is old or new."""
    [before] = await subject.runtime.replicas()
    await subject.stop()
    [stopped] = await subject.runtime.replicas()
    assert stopped.state is ReplicaState.EXITED
    assert await subject.runtime.restart(before) is Receipt.CHANGED
    assert await subject.runtime.restart(stopped) is Receipt.CHANGED
    assert await subject.runtime.replicas() == (stopped,)


async def test_another_identity_is_not_restarted_in_its_place(subject: Subject) -> None:
    """The name does not make up for the identity."""
    [before] = await subject.runtime.replicas()
    assert await subject.runtime.restart(replace(before, id="0" * 64)) is Receipt.CHANGED
    assert await subject.runtime.replicas() == (before,)


async def test_a_refusal_is_told_and_nothing_has_happened(subject: Subject) -> None:
    """Refused means that the service runs on as it was."""
    [before] = await subject.runtime.replicas()
    with pytest.raises(RejectedError) as refused:
        await subject.refusing().restart(before)
    assert "\n" not in str(refused.value)
    assert await subject.runtime.replicas() == (before,)


async def test_no_answer_is_told(subject: Subject) -> None:
    """Neither a look nor a restart waits for ever or comes up with something."""
    [before] = await subject.runtime.replicas()
    unreachable = subject.unreachable()
    with pytest.raises(UnavailableError) as unanswered:
        await unreachable.replicas()
    assert "\n" not in str(unanswered.value)
    with pytest.raises(UnavailableError):
        await unreachable.restart(before)
