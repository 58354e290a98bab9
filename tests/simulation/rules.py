"""What may be, said anew: plain functions that share no code with the core they judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from math import ceil, inf
from zoneinfo import ZoneInfo

from remediator.core.ledger import Entry, Intent, Occasion
from remediator.core.model import Level, ProbeResult, Replica, ReplicaState, Sample
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.policy import Policy, TerminateIdle, When
from remediator.testing import FakeSession
from tests.simulation.book import Book, Deed
from tests.simulation.world import SimDatabase, SimRuntime


def breached(policy: Policy, sample: Sample, *, margin: bool = True) -> bool:
    """Tell whether a sample shows a critical condition, or one not yet clear by its margin."""
    if sample.server is not None and sample.server.in_recovery:
        return False
    conditions = policy.levels[Level.CRITICAL].conditions
    refused = sample.probe is not None and sample.probe.result is ProbeResult.REFUSING
    if conditions.refusing_connections and refused:
        return True
    if sample.slots is None:
        return False
    usable = sample.slots.max_connections - sample.slots.superuser_reserved - sample.slots.reserved
    share = sample.slots.used / usable
    threshold = conditions.utilization
    if threshold is not None and share > threshold - margin * policy.clear.margin - 1e-9:
        return True
    idle = conditions.idle
    if idle is None:
        return False
    old = [g.count for g in sample.groups if g.state == "idle"]
    return sum(old) >= idle.count


def justified(policy: Policy, sample: Sample, entry: Entry) -> bool:
    """Tell whether a sample is reason enough for an action of its step."""
    if breached(policy, sample):
        return True
    steps = policy.remediate.steps
    always = entry.intent.step < len(steps) and steps[entry.intent.step].when is When.ALWAYS
    return always and sample.slots is not None and not (sample.server and sample.server.in_recovery)


def spared(session: FakeSession | None, policy: Policy, intent: Intent, now: datetime) -> str:
    """Say why a session must not be terminated; nothing when it may be."""
    if session is None:
        return "does not exist"
    step = policy.remediate.steps[intent.step] if intent.step < len(policy.remediate.steps) else None
    age = now - session.state_change if session.state_change else timedelta(0)
    reasons = {
        "is a superuser's": session.superuser,
        "is our own": session.own,
        "is not a client's": session.backend_type != "client backend",
        f"is {session.state}": session.state != "idle",
        "holds an advisory lock": session.advisory_lock,
        "listens": session.listening,
        "is spared by user": any(fnmatchcase(session.user, p) for p in policy.spare.users),
        "is spared by application": any(
            fnmatchcase(session.application, p) for p in policy.spare.applications
        ),
        "is meant by no step": not isinstance(step, TerminateIdle),
        f"is only {age} old": isinstance(step, TerminateIdle) and age < step.older_than,
    }
    return ", ".join(reason for reason, holds in reasons.items() if holds)


def replica_spared(replica: Replica | None) -> str:
    """Say why a replica must not be restarted; nothing when it may be."""
    if replica is None:
        return "does not exist"
    if replica.exempt is not None:
        return replica.exempt.value
    return "" if replica.state is ReplicaState.RUNNING else f"is {replica.state}"


def exceeds_terminations(book: Book, deed: Deed, policy: Policy) -> str:
    """Say which limit this termination has exceeded; nothing when none."""
    for rate in policy.limits.terminate:
        done = book.terminations_within(deed, rate.per)
        if done > rate.count:
            return f"{done} terminations, limit {rate}"
    return ""


def exceeds_restarts(book: Book, deed: Deed, policy: Policy) -> str:
    """Say which limit this restart has exceeded; nothing when none."""
    limits = policy.limits
    for rate in limits.restart_per_service:
        done = len(book.restarts_within(deed, rate.per, of_service=True))
        if done > rate.count:
            return f"{done} restarts of {deed.service}, limit {rate}"
    for rate in limits.restart:
        done = len(book.restarts_within(deed, rate.per, of_service=False))
        if done > rate.count:
            return f"{done} restarts for one database, limit {rate}"
    if limits.backoff is None:
        return ""
    before = book.restarts_within(deed, limits.backoff_memory, of_service=True)
    before.pop(Occasion.of(deed.entry.intent), None)
    wait = deed.decided - max(before.values(), default=float("-inf"))
    due = min(limits.backoff.base * 2 ** max(0, len(before) - 1), limits.backoff.cap).total_seconds()
    return f"{deed.service} again after {wait:.0f} s, backoff {due:.0f} s" if wait < due - 1e-3 else ""


def exceeds_share(book: Book, deed: Deed, policy: Policy, replicas: int) -> str:
    """Say how a step has restarted more of a service's replicas than it may; nothing when it has not."""
    occasion = Occasion.of(deed.entry.intent)
    done = sum(Occasion.of(other.entry.intent) == occasion for other in book.restarts)
    caps = (
        cap if isinstance(cap, int) else ceil(cap * replicas - 1e-7) for cap in policy.limits.restart_per_step
    )
    return f"{done} of {replicas} replicas of {deed.service} in one step" if done > min(caps) else ""


def beyond(
    policies: tuple[Policy, Policy],
    entries: Sequence[Entry],
    sample: Sample,
    runtime: SimRuntime | None,
    began: float,
) -> Iterator[tuple[str, str]]:
    """Tell which rule a step breaks that is about to be taken, and how.

    Args:
        policies: What was in force when the cycle began and when its intents were recorded.
        entries: The intents.
        sample: What the cycle saw.
        runtime: Of the service that is to be restarted.
        began: The true time at which the cycle began, in seconds.
    """
    number = sum(isinstance(entry.intent.action, TerminateSession) for entry in entries)
    if sample.slots is not None and number:
        used = sample.slots.used
        cap = max(_least(policy.limits.terminate_per_step, used) for policy in policies)
        if number > cap:
            yield "no step exceeds its cap", f"{number} of at most {cap}"
        most = max(_least(policy.limits.terminate_abort_above, used) for policy in policies)
        if number > most:
            yield "a step that wants too much is not taken", f"{number}, more than {most}"
    at = entries[0].intent.at
    if all(within_window(policy, at) for policy in policies):
        yield "nothing is done in a maintenance window", f"{at}"
    for entry in entries:
        action = entry.intent.action
        if runtime is not None and isinstance(action, RestartReplica):
            since = runtime.exempt_since.get(action.replica.id)
            if since is not None and since <= began:
                yield "what has opted out is left alone", action.label


def within_window(policy: Policy, at: datetime) -> bool:
    """Tell whether a time of the wall clock lies in a window of those that the scenery makes: daily ones."""
    for window in policy.maintenance:
        minute, hours, *_ = window.cron.split()
        local = at.astimezone(ZoneInfo(window.timezone))
        for hour in hours.split(","):
            begun = local.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
            if any(timedelta(0) <= local - begun + timedelta(days=days) < window.length for days in (0, 1)):
                return True
    return False


def _least(caps: Sequence[float], used: int) -> float:
    """The lowest of numbers, and of shares of the used slots, which allow at least one unless they are 0."""
    return min((c if isinstance(c, int) else c and max(1, int(c * used + 1e-7)) for c in caps), default=inf)


def patience(entry: Entry) -> timedelta:
    """How long a daemon that is not disturbed may take to find an outcome."""
    if isinstance(entry.intent.action, RestartReplica):
        return 3 * (entry.intent.action.replica.stop_timeout + timedelta(seconds=100)) + timedelta(minutes=1)
    return timedelta(minutes=2)


def not_so(entry: Entry, databases: dict[str, SimDatabase], runtimes: dict[str, SimRuntime]) -> str:
    """Say what speaks against an entry's being confirmed; nothing when it is true."""
    action = entry.intent.action
    if isinstance(action, RestartReplica):
        replica = next(
            (r for r in runtimes[action.replica.service].look() if r.id == action.replica.id), None
        )
        same = replica is not None and replica.started == action.replica.started
        return "the replica was not started anew" if same else ""
    return "the session is there" if databases[entry.intent.database].find(action.session.id) else ""
