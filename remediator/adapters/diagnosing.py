"""A runtime whose replicas can be asked what is wrong with them before they are restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from remediator.core.deposition import MOST, Deposition
from remediator.core.model import Replica
from remediator.core.text import duration
from remediator.ports import Clock, Receipt, Runtime

# Whoever examines keeps to the deadline by itself; this is for one that does not.
_SLACK = 0.5


@dataclass(frozen=True, slots=True)
class DiagnosingRuntime:
    """Stands in for a runtime whose service has a diagnostic; only where something may be done at all.

    Whatever becomes of the diagnostic, it is over at its deadline.

    Attributes:
        runtime: The real one.
        examine: Runs the diagnostic on a replica; how it ended, and what it printed.
        within: How long that may take.
        keep: Keeps what was learned; must not raise or block.
        mask: Takes secrets out.
    """

    runtime: Runtime
    examine: Callable[[Replica], Awaitable[tuple[str, str]]]
    within: timedelta
    keep: Callable[[Deposition], None]
    mask: Callable[[str], str]
    clock: Clock

    async def replicas(self) -> tuple[Replica, ...]:
        """Read the replicas."""
        return await self.runtime.replicas()

    async def restart(self, replica: Replica) -> Receipt:
        """Restart the replica if it still is what it was."""
        return await self.runtime.restart(replica)

    async def question(self, replica: Replica) -> None:
        """Examine the replica, and keep what is learned."""
        begun = self.clock.now()
        result, output = await self._examined(replica)
        seconds = round(self.clock.now().mono - begun.mono, 3)
        kept = self.mask(output)[:MOST]
        self.keep(
            Deposition(replica.service, replica.id, replica.name, begun.at, seconds, self.mask(result), kept)
        )

    async def _examined(self, replica: Replica) -> tuple[str, str]:
        try:
            async with asyncio.timeout(self.within.total_seconds() + _SLACK):
                return await self.examine(replica)
        except TimeoutError:
            return f"no answer within {duration(self.within)}", ""
        except Exception as error:  # noqa: BLE001  whatever it is, the restart matters more
            return str(error) or type(error).__name__, ""
