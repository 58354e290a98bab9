"""The real program with adapters that end or freeze its process at a named point.

    python -m tests.testbed.crashing run --config config.yaml

`REMEDIATOR_TEST_FAULTS` names the points, as `point:how` or `point:how:n` for the n-th time it is reached,
separated by commas. How is `kill` (SIGKILL) or `stop` (SIGSTOP). Points are `before_X` and `after_X` for each
method X of the ports, `after_first_terminate` between two terminations of one step, and `restart_sent` once a
service's restart has begun. With `REMEDIATOR_TEST_LIVES` it is started anew so often, each time in a fork.

The program itself knows nothing of this: its composition root is given other parts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from remediator import app, cli
from remediator.core.model import Replica, Session
from remediator.ports import Receipt
from remediator.world import World

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
# Long enough for a restart command to have begun, shorter than the restarts of the scenarios take.
_UNDER_WAY = 0.4


class Faults:
    """Ends or freezes the process at the points it is told."""

    def __init__(self, told: str) -> None:
        self._left: Counter[str] = Counter()
        self._how: dict[str, signal.Signals] = {}
        for fault in filter(None, told.split(",")):
            point, how, *times = fault.split(":")
            self._how[point] = _SIGNALS[how]
            self._left[point] = int(times[0]) if times else 1

    def reach(self, point: str) -> None:
        """Say that a point is reached."""
        if point in self._how:
            self._left[point] -= 1
            if self._left[point] == 0:
                os.kill(os.getpid(), self._how[point])


class Faulty:
    """A port whose coroutines reach a point before and after they do anything."""

    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        return self._wrapped(name, member) if asyncio.iscoroutinefunction(member) else member

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any, **more: Any) -> Any:
            self._faults.reach(f"before_{name}")
            result = await method(*arguments, **more)
            self._faults.reach(f"after_{name}")
            return result

        return call


class FaultyDatabase(Faulty):
    """A database that can be left between two terminations."""

    async def terminate(self, sessions: Sequence[Session], older_than: Any) -> tuple[Receipt, ...]:
        """Terminate the first one, then the others."""
        self._faults.reach("before_terminate")
        first = await self._inner.terminate(sessions[:1], older_than)
        self._faults.reach("after_first_terminate")
        others = await self._inner.terminate(sessions[1:], older_than)
        self._faults.reach("after_terminate")
        return (*first, *others)


class FaultyRuntime(Faulty):
    """A runtime that can be left while a restart is under way."""

    async def restart(self, replica: Replica) -> Receipt:
        """Begin the restart, and see it through."""
        self._faults.reach("before_restart")
        under_way = asyncio.ensure_future(self._inner.restart(replica))
        await asyncio.wait([under_way], timeout=_UNDER_WAY)
        self._faults.reach("restart_sent")
        receipt: Receipt = await under_way
        self._faults.reach("after_restart")
        return receipt


def _install(faults: Faults) -> None:
    make_cycles = app.make_cycles

    def faulty(settings: Any, mode: Any, world: World, *, store: Any, **more: Any) -> Any:
        databases: Any = {name: FaultyDatabase(d, faults) for name, d in world.databases.items()}
        runtimes: Any = {name: FaultyRuntime(r, faults) for name, r in world.runtimes.items()}
        parts = replace(world, databases=databases, runtimes=runtimes)
        return make_cycles(settings, mode, parts, store=Faulty(store, faults), **more)

    app.make_cycles = faulty


def main() -> int:
    """Run the program, once or again and again."""
    told = os.environ.get("REMEDIATOR_TEST_FAULTS", "")
    lives = int(os.environ.get("REMEDIATOR_TEST_LIVES", "0"))
    for _ in range(lives):
        child = os.fork()
        if not child:
            break
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return 1  # it was to die by a fault
    else:
        if lives:
            return 0
    _install(Faults(told))
    return cli.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
