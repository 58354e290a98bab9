"""What a look at one database finds, for somebody who just asks."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.assess import Assessment
from remediator.core.budgets import Standing
from remediator.core.maintenance import Window
from remediator.core.server import Holder


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at one database finds.

    Attributes:
        assessment: What was seen.
        maintenance: The maintenance window that is in force.
        holder: Who has the right to act.
        recorded: What a daemon read shortly before, where the server could not be read.
        standing: The pause and the locks in force, None where nobody asked or they could not be read.
        unread: Why they could not be read.
    """

    assessment: Assessment
    maintenance: Window | None = None
    holder: Holder | None = None
    recorded: Assessment | None = None
    standing: Standing | None = None
    unread: str = ""
