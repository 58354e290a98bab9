"""What came of actions, as far as they were really taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from remediator.core.ledger import Entry, Outcome, Result
from remediator.core.model import Moment, Replica, SessionId
from remediator.core.plan import TerminateSession
from remediator.cycle.verifying import Verifier
from remediator.replay.past import Past

Deed = tuple[str, datetime, SessionId | str]


def book(entries: Iterable[Entry]) -> dict[Deed, Outcome | None]:
    """What came of each action that was really taken."""
    return {_deed(entry): entry.outcome for entry in entries}


def _deed(entry: Entry) -> Deed:
    intent = entry.intent
    action = intent.action
    what = action.session.id if isinstance(action, TerminateSession) else action.replica.id
    return intent.database, intent.at, what


class Hindsight(Verifier):
    """Tells of an action that was taken then, at that moment, what came of it, once that was known then.

    Any other is simulated, as in a dry run.

    Args:
        given: What a verifier is made of.
        past: The world of then.
        deeds: What was really done.
    """

    def __init__(self, *given: Any, past: Past, deeds: Mapping[Deed, Outcome | None]) -> None:
        super().__init__(*given)
        self._past = past
        self._deeds = deeds

    def request(self, entry: Entry, replica: Replica) -> None:
        """Nothing is restarted."""

    async def outcomes(
        self,
        entries: Sequence[Entry],
        moment: Moment,
        patience: timedelta = timedelta(0),  # noqa: ARG002  the past does not wait
    ) -> list[tuple[Entry, Outcome]]:
        """Tell the outcomes that were known before the next look."""
        found = [(entry, self._outcome(entry, moment)) for entry in entries]
        return [(entry, outcome) for entry, outcome in found if outcome is not None]

    def _outcome(self, entry: Entry, moment: Moment) -> Outcome | None:
        deed = _deed(entry)
        if deed not in self._deeds:
            return Outcome(Result.SIMULATED, moment.at)
        outcome = self._deeds[deed]
        return outcome if outcome is not None and self._past.knows(outcome.at) else None
