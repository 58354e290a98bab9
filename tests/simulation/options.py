"""What a simulation is asked for, and the chances it draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from remediator.ports import Database, Directories, Follower, LedgerStore, Runtime


class Tamper:
    """Stands between the cycle and the world, and changes nothing; tests of the invariants break it."""

    def config(self, text: str) -> str:
        """The config as the daemon gets to read it; the observer has the true one."""
        return text

    def database(self, database: Database) -> Database:
        """A database as the cycle gets to see it."""
        return database

    def runtime(self, runtime: Runtime) -> Runtime:
        """A runtime as the cycle gets to see it."""
        return runtime

    def directory(self, directory: Directories) -> Directories:
        """Who lives where, as the cycle gets to see it."""
        return directory

    def store(self, store: LedgerStore) -> LedgerStore:
        """The ledger as the cycle gets to see it."""
        return store

    def follower(self) -> Follower | None:
        """Who gets to see the completed cycles of one more life of the daemon."""
        return None

    def witness(self, witness: Any) -> Any:
        """Who is told what the daemon does."""
        return witness


@dataclass(frozen=True, slots=True)
class Options:
    """What decides a simulation, completely.

    Attributes:
        seed: Of all chance.
        days: How long, before the world is left to heal.
        faults: Whether anything fails besides what the services themselves do.
        forward: Whether the wall clock is set forward, too.
        tamper: Breaks what the cycle stands on.
        tail: How many events of the trace are kept.
    """

    seed: int
    days: float = 2.0
    faults: bool = True
    forward: bool = True
    tamper: Tamper = field(default_factory=Tamper)
    tail: int = 60

    def chance(self, purpose: str) -> Random:
        """Chances of one purpose: drawing more for one does not change what others get."""
        return Random(f"{self.seed}/{purpose}")  # noqa: S311  a simulation must repeat itself
