"""Which service holds the leaked slots, if that is clear."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from remediator.core.ledger import Incident, Ledger
from remediator.core.model import IDLE, Sample
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.suspicion import Suspicion
from remediator.core.text import count, duration, percent


@dataclass(frozen=True, slots=True)
class Blame:
    """Who is to blame for the leaked slots.

    Attributes:
        service: The culprit; None when there is no clear one.
        text: The evidence in words.
    """

    service: str | None
    text: str


def leaked(suspicion: Suspicion, sample: Sample, incident: Incident, ledger: Ledger) -> Counter[Owner]:
    """Count leaked sessions by owner: those idle for long now, and those terminated in this incident.

    Args:
        suspicion: For how long a session must have been idle.
        sample: Taken with that cutoff.
        incident: The incident.
        ledger: The ledger; entries that did nothing do not count, nor do terminations from before a restart
            of the service they belong to, which has answered for them.
    """
    cutoff = suspicion.older_than.total_seconds()
    found: Counter[Owner] = Counter()
    for group in sample.groups:
        if group.state.startswith(IDLE) and group.idle_for_at_least >= cutoff:
            found[group.owner] += group.count
    ours = [entry for entry in ledger.entries if entry.intent.incident == incident.id and entry.done]
    restarted: dict[Owner, datetime] = {}
    for entry in ours:
        if isinstance(entry.intent.action, RestartReplica):
            owner = Owner(OwnerKind.SERVICE, entry.intent.action.replica.service)
            restarted[owner] = max(entry.intent.counted_at, restarted.get(owner, entry.intent.counted_at))
    for entry in ours:
        if isinstance(entry.intent.action, TerminateSession):
            owner = entry.intent.action.session.owner
            if owner not in restarted or entry.intent.counted_at > restarted[owner]:
                found[owner] += 1
    return +found


def blame(suspicion: Suspicion, sample: Sample, incident: Incident, ledger: Ledger) -> Blame:
    """Find the one service that holds the leaked slots.

    It holds at least `share` of all leaked sessions, as no other does, and at least `least` of the usable
    slots: in a peak without a leak a handful of idle sessions proves nothing.
    """
    if sample.slots is None:
        return Blame(None, "the slots cannot be read")
    by_owner = leaked(suspicion, sample, incident, ledger)
    total = sum(by_owner.values())
    what = f"sessions idle for {duration(suspicion.older_than)} or longer, or terminated for it"
    if not total:
        return Blame(None, f"no {what}")
    enough = ceil(round(suspicion.least * sample.slots.usable, 7))
    services = {name: by_owner[Owner(OwnerKind.SERVICE, name)] for name in suspicion.among}
    most = round(suspicion.share * total, 7)
    clear = [name for name, held in services.items() if held >= most and held >= enough]
    shares = ", ".join(
        f"{owner.label} {held} ({percent(held / total)})" for owner, held in by_owner.most_common(_SHOWN)
    )
    text = f"{count(total, 'leaked session')}: {shares}"
    if len(clear) == 1:
        return Blame(clear[0], text)
    needed = f"{percent(suspicion.share)} of them and {count(enough, 'slot')} are needed"
    return Blame(None, f"{text}; {needed}")


_SHOWN = 4
