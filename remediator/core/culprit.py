"""Which service holds the leaked slots, if that is clear."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from remediator.core.leak import leaked_groups
from remediator.core.ledger import Incident, Ledger
from remediator.core.model import Sample
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.policy import Policy
from remediator.core.suspicion import Suspicion
from remediator.core.text import count, duration, percent


@dataclass(frozen=True, slots=True)
class Blame:
    """Who is to blame for the leaked slots.

    Attributes:
        service: The culprit; None when there is no clear one.
        text: The evidence in words.
        elsewhere: The leaked slots are held by others than the suspects: no restart of theirs frees them.
    """

    service: str | None
    text: str
    elsewhere: bool = False


def leaked(
    policy: Policy, suspicion: Suspicion, sample: Sample, incident: Incident, ledger: Ledger
) -> Counter[Owner]:
    """Count leaked sessions by owner: those idle for long now, and those terminated in this incident.

    Args:
        policy: What it spares is not leaked.
        suspicion: For how long a session must have been idle.
        sample: Taken with that cutoff.
        incident: The incident.
        ledger: The ledger; entries that did nothing do not count, nor do terminations from before a restart
            of the service they belong to, which has answered for them. Nor do terminated orphans: who has
            ended leaks no more.
    """
    return _there(policy, suspicion, sample) + _terminated(incident, ledger)


def _there(policy: Policy, suspicion: Suspicion, sample: Sample) -> Counter[Owner]:
    found: Counter[Owner] = Counter()
    for group in leaked_groups(policy, suspicion.older_than, sample):
        found[group.owner] += group.count
    return +found


def _terminated(incident: Incident, ledger: Ledger) -> Counter[Owner]:
    found: Counter[Owner] = Counter()
    ours = [entry for entry in ledger.entries if entry.intent.incident == incident.id and entry.done]
    restarted: dict[Owner, datetime] = {}
    for entry in ours:
        if isinstance(entry.intent.action, RestartReplica):
            owner = Owner(OwnerKind.SERVICE, entry.intent.action.replica.service)
            restarted[owner] = max(entry.intent.counted_at, restarted.get(owner, entry.intent.counted_at))
    for entry in ours:
        if isinstance(entry.intent.action, TerminateSession):
            owner = entry.intent.action.session.owner
            if owner.kind is OwnerKind.ORPHAN:
                continue
            if owner not in restarted or entry.intent.counted_at > restarted[owner]:
                found[owner] += 1
    return found


def blame(policy: Policy, suspicion: Suspicion, sample: Sample, incident: Incident, ledger: Ledger) -> Blame:
    """Find the one service that holds the leaked slots.

    It holds at least `share` of all leaked sessions, as no other does, and at least `least` of the usable
    slots: in a peak without a leak a handful of idle sessions proves nothing. With nobody like that, at
    least half of them and as many slots may be shown to be others', such as those of containers that have
    ended.

    Args:
        policy: What it spares is not leaked.
        suspicion: When a service counts as the culprit.
        sample: Taken with the suspicion's cutoff.
        incident: The incident.
        ledger: The ledger.
    """
    if sample.slots is None:
        return Blame(None, "the slots cannot be read")
    there, terminated = _there(policy, suspicion, sample), _terminated(incident, ledger)
    by_owner = there + terminated
    total = by_owner.total()
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
    parts = f" ({there.total()} there, {terminated.total()} terminated)" if terminated else ""
    text = f"{count(total, 'leaked session')}{parts}: {shares}"
    if len(clear) == 1:
        return Blame(clear[0], text)
    needed = f"{percent(suspicion.share)} of them and {count(enough, 'slot')} are needed"
    untold = f"; {sample.untold}" if sample.untold else ""
    others = sum(held for owner, held in by_owner.items() if _is_other(owner, suspicion))
    elsewhere = 2 * others >= total and others >= enough
    return Blame(None, f"{text}; {needed}{untold}", elsewhere=elsewhere)


def _is_other(owner: Owner, suspicion: Suspicion) -> bool:
    """Whether an owner is shown to be none of the suspects.

    Behind a pooler, the host or a network that containers share it may be any.
    """
    return owner.kind in _ITSELF or (owner.kind is OwnerKind.SERVICE and owner.name not in suspicion.among)


_ITSELF = frozenset({OwnerKind.ORPHAN, OwnerKind.CLIENT, OwnerKind.CONTAINER})
_SHOWN = 4
