"""Replicas that are asked what is wrong with them before they are restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from remediator.core.ledger import Entry
from remediator.core.plan import RestartReplica
from remediator.core.policy import RestartService
from remediator.ports import Questioned, Runtime


@dataclass(slots=True)
class Questioner:
    """Asks them while cycles go on, and knows who has been asked.

    Attributes:
        runtimes: Of the services, by name.
    """

    runtimes: Mapping[str, Runtime]
    _asked: dict[int, tuple[asyncio.Task[None], RestartService]] = field(default_factory=dict)

    @property
    def asking(self) -> bool:
        """Whether there is anybody whose answer is waited for, or waits."""
        return bool(self._asked)

    def ask(self, entry: Entry, step: RestartService) -> bool:
        """Begin to ask the replica that is to be restarted; tell whether there is anything to ask."""
        action = entry.intent.action
        runtime = self.runtimes[step.service]
        if not isinstance(action, RestartReplica) or not isinstance(runtime, Questioned):
            return False
        self._asked[entry.id] = asyncio.ensure_future(runtime.question(action.replica)), step
        return True

    def answered(self, entries: Sequence[Entry]) -> list[tuple[Entry, RestartService]]:
        """Tell whose asking is over since the last call; those that are not open any more are dropped.

        Args:
            entries: Open entries.
        """
        for gone in self._asked.keys() - {entry.id for entry in entries}:
            self._asked.pop(gone)[0].cancel()
        over = [entry for entry in entries if entry.id in self._asked and self._asked[entry.id][0].done()]
        return [(entry, self._asked.pop(entry.id)[1]) for entry in over]
