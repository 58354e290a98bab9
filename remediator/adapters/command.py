"""A service that two commands look after, whatever runs it: systemd, supervisor, a script."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from remediator.adapters.environment import public_environment
from remediator.core.model import Replica, ReplicaState
from remediator.core.text import duration
from remediator.errors import RejectedError, UnavailableError
from remediator.ports import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OUTPUT_LIMIT = 64 * 1024
_INSPECT_WITHIN = timedelta(seconds=10)
# What a command has written before it ends is there at once; only its own background processes keep
# the pipe open for longer.
_LAST_WORDS = timedelta(seconds=0.5)
_LONGEST_LINE = 200


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a command ended, and the beginning of what it wrote."""

    code: int
    output: str
    errors: str

    def reason(self, mask: Callable[[str], str]) -> str:
        lines = mask(_words(self.errors)).strip().splitlines()
        how = f"was killed by signal {-self.code}" if self.code < 0 else f"exited {self.code}"
        return f"{how}: {lines[-1].strip()[:_LONGEST_LINE]}" if lines else how


class CommandRuntime:
    """A service as one replica.

    `inspect` exits 0 when the service runs and prints a token that differs after every start, such as a
    process id and its start time; any other exit code means that it does not run. `restart` exits 0 when it
    has restarted the service. Neither goes through a shell; both get an environment without secrets.

    Args:
        service: Our name of the service.
        restart: The program and its arguments.
        inspect: The program and its arguments.
        deadline: How long `restart` may take; `inspect` gets ten seconds of it at most. Whatever is left
            of the command then, its background processes included, is killed.
        mask: Takes secrets out of what a command printed, before it is repeated or recorded.

    Raises:
        ValueError: A command is empty.
    """

    def __init__(
        self,
        service: str,
        *,
        restart: Sequence[str],
        inspect: Sequence[str],
        deadline: timedelta,
        mask: Callable[[str], str] = str,
    ) -> None:
        if not restart or not inspect:
            raise ValueError("both commands must be named")
        self.service = service
        self._restart = tuple(restart)
        self._inspect = tuple(inspect)
        self._deadline = deadline
        self._mask = mask
        self._restarts: set[asyncio.Task[_Ended]] = set()

    async def replicas(self) -> tuple[Replica, ...]:
        """Read whether the service runs, and since when.

        Raises:
            UnavailableError: The command did not end in time, or was killed.
            RejectedError: There is no such program, or it printed no token.
        """
        return (await self._look(),)

    async def restart(self, replica: Replica) -> Receipt:
        """Restart the service if it runs, and is what it was when `replica` was read.

        Cancelling the call does not end the command: half a restart would leave the service stopped.

        Raises:
            UnavailableError: The command did not end in time, or failed half-way; the service may have been
                restarted or not.
            RejectedError: The command failed and the service runs on as it was.
        """
        current = await self._look()
        if replica.id != current.id or not _same(current, replica):
            return Receipt.CHANGED
        task = asyncio.create_task(_run(self._restart, self._deadline, self._environment(), outlives_us=True))
        self._restarts.add(task)
        task.add_done_callback(self._finished)
        ended = await asyncio.shield(task)
        if ended.code == 0:
            return Receipt.SENT
        message = f"{_shown(self._restart)} {ended.reason(self._mask)}"
        if _same(await self._look(), replica):
            raise RejectedError(message)
        raise UnavailableError(message)

    async def examine(
        self,
        replica: Replica,  # noqa: ARG002  there is one, on this machine
        argv: Sequence[str],
        within: timedelta,
    ) -> tuple[str, str]:
        """Run a command that only looks, as the two others are run; how it ended, and what it printed.

        Raises:
            UnavailableError: It did not end in time; all of it was killed.
            RejectedError: It cannot be run.
        """
        ended = await _run(tuple(argv), within, self._environment())
        how = f"exit {ended.code}" if ended.code >= 0 else f"killed by signal {-ended.code}"
        return how, "\n".join(filter(None, (_words(ended.output), _words(ended.errors))))

    def _environment(self) -> dict[str, str]:
        """What a command inherits; a secret may have been given to us under any name."""
        public = public_environment(os.environ)
        return {name: value for name, value in public.items() if self._mask(value) == value}

    def _finished(self, task: asyncio.Task[_Ended]) -> None:
        self._restarts.discard(task)
        if not task.cancelled():
            task.exception()  # a cancelled caller does not ask for it

    async def _look(self) -> Replica:
        ended = await _run(self._inspect, min(self._deadline, _INSPECT_WITHIN), self._environment())
        if ended.code < 0:
            raise UnavailableError(f"{_shown(self._inspect)} {ended.reason(self._mask)}")
        token = self._mask(ended.output.strip())
        if ended.code == 0 and not token:
            raise RejectedError(
                f"{_shown(self._inspect)} printed nothing; it must print what differs after every start"
            )
        state = ReplicaState.EXITED if ended.code else ReplicaState.RUNNING
        return Replica(
            service=self.service,
            id=self.service,
            name=self.service,
            state=state,
            started=token,
            stop_timeout=self._deadline,  # a restart that may still be running has not failed yet
        )


async def _run(
    argv: tuple[str, ...], deadline: timedelta, env: Mapping[str, str], *, outlives_us: bool = False
) -> _Ended:
    """Run a command in a process group of its own; at the deadline all of the group is killed.

    Args:
        argv: The program and its arguments.
        deadline: How long it may take.
        env: Its environment.
        outlives_us: Being cancelled, as when our own process ends, does not end the command.
    """
    with _Pipe() as output, _Pipe() as errors:
        process = _start(argv, env, output, errors)
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                await asyncio.gather(output.listen(), errors.listen())
                code = await _exit_code(process)
        except TimeoutError as error:
            await _make_an_end(process)
            raise UnavailableError(f"{_shown(argv)} did not end within {duration(deadline)}") from error
        except asyncio.CancelledError:
            if not outlives_us:
                await _make_an_end(process)
            raise
        return _Ended(code, await output.read(), await errors.read())


def _start(
    argv: tuple[str, ...], env: Mapping[str, str], output: _Pipe, errors: _Pipe
) -> subprocess.Popen[bytes]:
    # Not the event loop's own kind of process: that one is killed when the loop ends.
    try:
        return subprocess.Popen(  # noqa: S603  what the operator wrote into the config
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output.writer,
            stderr=errors.writer,
            env=env,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise RejectedError(f"{_shown(argv)} cannot be run: {why or error}") from error


async def _exit_code(process: subprocess.Popen[bytes]) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


async def _make_an_end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(_exit_code(process))


class _Pipe:
    """A pipe that keeps the beginning of what is written to it and throws the rest away.

    The event loop's own pipes live until the last process that inherited them has ended, and that may be
    the service itself.
    """

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        self._kept = _Beginning(OUTPUT_LIMIT)
        self._transport: asyncio.ReadTransport | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_writer()
        if self._transport is not None:
            self._transport.close()
        else:
            os.close(self._reader)

    async def listen(self) -> None:
        """Begin to read; call it once the command has its end of the pipe."""
        self._close_writer()
        loop = asyncio.get_running_loop()
        reader = os.fdopen(self._reader, "rb", buffering=0)
        self._transport, _ = await loop.connect_read_pipe(lambda: self._kept, reader)

    async def read(self) -> str:
        """What was written, once the command has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS.total_seconds()):
                await self._kept.ended.wait()
        return self._kept.data.decode(errors="replace")

    def _close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


class _Beginning(asyncio.Protocol):
    """Keeps the first bytes it is given."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.data = bytearray()
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Keep what there is room for."""
        self.data += data[: self._limit - len(self.data)]

    def eof_received(self) -> None:
        """Nobody can write any more."""
        self.ended.set()


def _same(current: Replica, before: Replica) -> bool:
    return current.state is ReplicaState.RUNNING and current.started == before.started


def _words(text: str) -> str:
    """What was written, for people, with a mark where the rest of it was thrown away."""
    return f"{text}..." if len(text.encode()) >= OUTPUT_LIMIT else text.rstrip()


def _shown(argv: tuple[str, ...]) -> str:
    # Arguments may hold secrets.
    return argv[0]
