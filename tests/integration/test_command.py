"""Services behind two commands: real programs, real processes, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from remediator.adapters.command import OUTPUT_LIMIT, CommandRuntime
from remediator.adapters.environment import public_environment
from remediator.core.ledger import Result
from remediator.core.model import ReplicaState
from remediator.core.plan import RestartReplica
from remediator.core.service import Verification
from remediator.core.verify import verify_restart
from remediator.errors import RejectedError, UnavailableError
from remediator.ports import Receipt
from tests.builders import make_entry, moment
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

LONG = timedelta(seconds=30)
RUNS = ("echo", "since noon")


def command(
    *, restart: tuple[str, ...] = ("true",), inspect: tuple[str, ...] = RUNS, deadline: timedelta = LONG
) -> CommandRuntime:
    """A service of these two commands."""
    return CommandRuntime("worker", restart=restart, inspect=inspect, deadline=deadline)


def shell(script: str, *arguments: object) -> tuple[str, ...]:
    """A shell that runs a script."""
    return ("sh", "-c", script, "sh", *map(str, arguments))


def alive(pid: int) -> bool:
    """Whether a process is there and more than a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pid_in(path: Path) -> int:
    """The process id that a script has written."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), what=f"{path.name} to be written")
    return int(path.read_text())


def exists(path: Path) -> bool:
    """Whether there is such a file."""
    return path.exists()


async def until_written(path: Path) -> None:
    """Wait for a file that another process makes, while the loop goes on."""
    async with asyncio.timeout(30):
        while not exists(path):  # noqa: ASYNC110  nobody in this process could set an event
            await asyncio.sleep(0.01)


async def test_what_inspect_prints_is_the_start() -> None:
    """Without the white space around it."""
    [replica] = await command(inspect=("printf", r"\n 4711 \n\n")).replicas()
    assert (replica.id, replica.name, replica.service) == ("worker", "worker", "worker")
    assert (replica.state, replica.started) == (ReplicaState.RUNNING, "4711")


async def test_a_restart_is_not_judged_before_its_deadline() -> None:
    """A command that takes its time, with the service stopped in the meantime, has not failed yet."""
    slow = timedelta(minutes=5)
    [before] = await command(deadline=slow).replicas()
    [stopped] = await command(inspect=("false",), deadline=slow).replicas()
    entry = make_entry(action=RestartReplica(before))
    almost = moment(slow.total_seconds())
    assert verify_restart(entry, [stopped], Verification(), None, almost) == (None, None)
    long_after = moment(2 * slow.total_seconds())
    outcome, _ = verify_restart(entry, [stopped], Verification(), None, long_after)
    assert outcome is not None
    assert outcome.result is Result.REFUTED


async def test_any_other_exit_code_is_not_running() -> None:
    """As `systemctl is-active` does it."""
    [replica] = await command(inspect=shell("echo inactive; exit 3")).replicas()
    assert replica.state is ReplicaState.EXITED


async def test_no_token_is_no_answer() -> None:
    """Without one, a restart could never be seen."""
    with pytest.raises(RejectedError, match="printed nothing"):
        await command(inspect=("true",)).replicas()


@pytest.mark.parametrize("program", ["/nowhere/systemctl", "/", "/etc/passwd", "nul\0"])
async def test_a_program_that_cannot_be_run_is_told(program: str) -> None:
    """Missing, or no program at all."""
    with pytest.raises(RejectedError, match="cannot be run"):
        await command(inspect=(program,)).replicas()
    [replica] = await command().replicas()
    with pytest.raises(RejectedError, match="cannot be run"):
        await command(restart=(program,)).restart(replica)


@pytest.mark.parametrize(("restart", "inspect"), [((), RUNS), (("true",), ())])
def test_an_empty_command_is_refused(restart: tuple[str, ...], inspect: tuple[str, ...]) -> None:
    """There is nothing to run."""
    with pytest.raises(ValueError, match="must be named"):
        command(restart=restart, inspect=inspect)


async def test_arguments_reach_the_program_as_they_are(tmp_path: Path) -> None:
    """No shell takes them apart."""
    hostile = f"$(touch {tmp_path}/made); `touch {tmp_path}/made` *"
    [replica] = await command(inspect=("echo", hostile)).replicas()
    assert replica.started == hostile
    assert not exists(tmp_path / "made")


async def test_a_refused_restart_tells_the_last_line() -> None:
    """The service runs on, so nothing has happened."""
    runtime = command(restart=shell("echo first >&2; echo 'access denied' >&2; exit 4"))
    [replica] = await runtime.replicas()
    with pytest.raises(RejectedError, match=r"^sh exited 4: access denied$"):
        await runtime.restart(replica)


async def test_a_restart_that_failed_half_way_is_not_called_refused(tmp_path: Path) -> None:
    """It counts, because the service was stopped."""
    up = tmp_path / "up"
    up.touch()
    runtime = command(
        restart=shell('rm "$1"; echo "does not come up" >&2; exit 1', up),
        inspect=shell('[ -e "$1" ] && echo 1', up),
    )
    [replica] = await runtime.replicas()
    with pytest.raises(UnavailableError, match="does not come up"):
        await runtime.restart(replica)
    assert (await runtime.replicas())[0].state is ReplicaState.EXITED


@pytest.mark.parametrize("stubborn", [False, True])
async def test_at_the_deadline_the_whole_group_is_killed(tmp_path: Path, *, stubborn: bool) -> None:
    """The command, and what it has started, whether it listens to signals or not."""
    child = tmp_path / "child"
    ignore = "trap '' TERM INT HUP; " if stubborn else ""
    runtime = command(
        restart=shell(f'{ignore}sleep 3600 & echo $! >"$1"; wait; sleep 3600', child),
        deadline=timedelta(seconds=1),
    )
    [replica] = await runtime.replicas()
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match=r"sh did not end within 1s"):
        await runtime.restart(replica)
    assert time.monotonic() - begin < 10
    wait_until(lambda: not alive(pid_in(child)), what="the child to be gone")


async def test_a_hung_look_ends_at_the_deadline_too() -> None:
    """Nothing waits for ever."""
    with pytest.raises(UnavailableError, match="sleep did not end"):
        await command(inspect=("sleep", "3600"), deadline=timedelta(seconds=0.3)).replicas()


async def test_a_look_that_was_killed_tells_nothing() -> None:
    """Least of all that the service does not run."""
    with pytest.raises(UnavailableError, match="killed by signal 9"):
        await command(inspect=shell("kill -9 $$")).replicas()


async def test_a_service_that_inherits_the_output_is_not_waited_for(tmp_path: Path) -> None:
    """Scripts start daemons without redirecting them; those live on, and hold the pipe open."""
    child = tmp_path / "child"
    runtime = command(restart=shell('sleep 3600 & echo $! >"$1"', child))
    [replica] = await runtime.replicas()
    begin = time.monotonic()
    assert await runtime.restart(replica) is Receipt.SENT
    assert time.monotonic() - begin < 10
    pid = pid_in(child)
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


async def test_output_without_end_neither_fills_memory_nor_blocks() -> None:
    """The beginning is kept, the rest is thrown away."""
    million = "head -c 1000000 /dev/zero | tr '\\0'"
    [replica] = await command(inspect=shell(f"{million} x; {million} y >&2")).replicas()
    assert replica.started == "x" * OUTPUT_LIMIT


async def test_bytes_that_are_no_text_do_no_harm() -> None:
    """Neither in the token nor in an error."""
    runtime = command(restart=shell(r"printf '\377\376' >&2; exit 1"), inspect=("printf", r"\377"))
    [replica] = await runtime.replicas()
    assert replica.started == "\N{REPLACEMENT CHARACTER}"
    with pytest.raises(RejectedError, match="exited 1"):
        await runtime.restart(replica)


async def test_a_command_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing on standard input."""
    private = [
        *("PGPASSWORD", "PGSERVICE", "REMEDIATOR_CONFIG", "DB_PASSWORD", "API_TOKEN", "my_secret"),
        *("DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "SENTRY_DSN"),
    ]
    for name in private:
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("LC_TIME", "C.UTF-8")
    [replica] = await command(inspect=shell("env; cat")).replicas()
    assert "canary" not in replica.started
    assert "PATH=" in replica.started
    assert "LC_TIME=C.UTF-8" in replica.started
    assert public_environment({"PATH": "/bin", "PgHost": "x"}) == {"PATH": "/bin"}


async def test_an_impatient_caller_does_not_leave_half_a_restart(tmp_path: Path) -> None:
    """The command goes on when nobody waits for it any more."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    runtime = command(restart=shell('echo 1 >"$1"; sleep 0.5; echo 1 >"$2"', begun, ended))
    [replica] = await runtime.replicas()
    restart = asyncio.create_task(runtime.restart(replica))
    await until_written(begun)
    restart.cancel()
    with suppress(asyncio.CancelledError):
        await restart
    assert restart.cancelled()
    await until_written(ended)
