"""What is in force for a database now."""

from __future__ import annotations

from remediator.core.budgets import Standing, standing
from remediator.core.clock import stamped
from remediator.core.model import Moment
from remediator.core.policy import Policy
from remediator.ports import LedgerStore


async def read_standing(store: LedgerStore, database: str, policy: Policy, moment: Moment) -> Standing:
    """Read what is in force for a database, and what is left of each of its limits.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    now = stamped(moment, await store.clock()).steady
    return standing(database, policy, await store.load(now - policy.limits.horizon), now)
