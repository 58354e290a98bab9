"""The observer of the world: notes every deed, and says so when one breaks an invariant.

It goes by what the world and the ledger really are, never by what the daemon thinks of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import cast

from remediator.core.events import Event
from remediator.core.ledger import Entry, Incident, Occasion, Result
from remediator.core.model import Level, Mode, Moment, Sample, SessionId
from remediator.core.plan import Objection, RestartReplica, TerminateSession
from remediator.core.policy import Policy
from remediator.core.turn import Turn
from tests.simulation import guilt, rules
from tests.simulation.book import Book, Deed, Violation, Watched
from tests.simulation.ledger import LedgerEye, SimLedger
from tests.simulation.trace import Trace
from tests.simulation.world import SimDatabase, SimRuntime

_QUIET = 3600.0
_TELLING = frozenset({Event.INCIDENT_HELD, Event.INCIDENT_SUSPENDED, Event.LOCKED})
# After each of these a person must be told anew when it does not end well.
_NEWS = frozenset({Event.INCIDENT_OPENED, Event.INCIDENT_RELIEVED, Event.ACTION_INTENDED})


class Inspector(LedgerEye):
    """Watches one simulation.

    Args:
        loop: For the true time.
        mode: Whether the daemon may act.
        trace: Told everything.
        broken: Called with the first violation.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        mode: Mode,
        trace: Trace,
        broken: Callable[[Violation], None],
    ) -> None:
        self.databases: dict[str, SimDatabase] = {}
        self.runtimes: dict[str, SimRuntime] = {}
        self.store = SimLedger(self)
        self.policies: dict[str, Policy] = {}
        self.pause_lasts = 0.0
        self.told = True
        """Sessions can be told to be a service's."""
        self._loop = loop
        self._mode = mode
        self._trace = trace
        self._broken = broken
        self._book = Book()
        self._watched: dict[str, Watched] = {}
        self._forbidden: dict[str, float] = {}
        self._closed: set[str] = set()
        self._open_for: dict[int, float] = {}

    def check(self, holds: object, rule: str, text: str) -> None:
        """Say that an invariant does not hold, unless it does."""
        if not holds:
            self._trace.note("VIOLATION", f"{rule}: {text}")
            self._broken(Violation(rule, text))

    def pausing(self, lasts: timedelta | None) -> None:
        """An operator is about to pause for so long."""
        self.pause_lasts = lasts.total_seconds() if lasts else float("inf")

    # what the daemon does

    def begins(self, database: str, moment: Moment) -> None:
        """A cycle begins."""
        watched = self._watched.setdefault(database, Watched(self.policies[database]))
        watched.policy = self.policies[database]
        watched.began, watched.moment, watched.running = self._loop.time(), moment, True
        watched.sample = None

    def sampled(self, database: str, sample: Sample) -> None:
        """The world has answered a cycle."""
        self._watched[database].sample = sample

    def looked(self, database: str, sample: Sample) -> None:
        """The world is being looked at for a cycle."""
        watched = self._watched[database]
        policies = (watched.policy, self.policies[database])
        wanted = set().union(*(guilt.suspicions(policy) for policy in policies))
        engaged = any(rules.breached(policy, sample) for policy in policies)
        engaged = engaged or any(i.database == database for i in self.store.open_incidents())
        watched.truth.clear()
        if engaged and sample.slots is not None:
            now = self._loop.time()
            for spare, older_than in wanted:
                held = guilt.held(self.databases[database], spare, older_than, now)
                watched.truth[spare, older_than] = held

    def failed(self, database: str, error: Exception) -> None:
        """A cycle ended in an error."""
        self._watched[database].running = False
        self.check(holds=False, rule="no cycle fails", text=f"{database}: {error!r}")

    def turned(self, database: str, turn: Turn) -> None:
        """A cycle has completed."""
        watched = self._watched[database]
        watched.running = False
        now = self._loop.time()
        passed = min(60.0, now - watched.turned) if watched.turned is not None else 0.0
        watched.turned = now
        disturbed = turn.plan is not None and Objection.LEDGER_UNAVAILABLE in turn.plan.objections
        if not disturbed:
            self._grow_old(database, passed)
        sample = watched.sample
        if sample is None or not rules.breached(watched.policy, sample, margin=False):
            watched.quiet = 0.0
        elif self._mode is Mode.DRY_RUN:
            pass  # what it would have done counts as done, whatever the world shows
        elif turn.assessment.level is Level.CRITICAL and not disturbed and not watched.told:
            watched.quiet += passed
        self.check(watched.quiet < _QUIET, "somebody is told", f"{database}: critical, nothing done or said")

    def emit(self, event: Event, **fields: object) -> None:
        """Something was said."""
        database = str(fields.get("database"))
        if event is Event.CYCLE:
            self._trace.note("cycle", f"{database} {fields['level']} {fields.get('used')}", keep=False)
            return
        said = " ".join(f"{k}={v}" for k, v in fields.items() if k not in {"mode", "steps", "database"})
        self._trace.note(event.event_name, f"{database} {said}")
        if event is Event.PLAN_MADE:
            for step in cast("Sequence[dict[str, list[str]]]", fields["steps"]):
                self._trace.counts.update(step["objections"])
        if database in self._watched:
            watched = self._watched[database]
            watched.told = (watched.told or event in _TELLING) and event not in _NEWS
            watched.quiet = 0.0 if event in _NEWS else watched.quiet

    # what is done to the ledger

    def intended(self, incident: Incident, entries: Sequence[Entry]) -> None:
        """Intents were recorded."""
        database = incident.database
        watched = self._watched[database]
        policies = (watched.policy, self.policies[database])
        for entry in entries:
            self._trace.note("intent", f"{entry.id} {database} {entry.intent.action.label}", keep=False)
            self._book.deeds[entry.id] = deed = Deed(entry, watched.began, policies)
            if isinstance(entry.intent.action, TerminateSession):
                guilt.note_holder(deed, self.databases[database], entry.intent.action.session.id)
        self._one_at_a_time(database, entries)
        late = watched.moment is None or not entries or entries[0].intent.at != watched.moment.at
        if late or not watched.running:
            return  # written after its caller had given up; nobody acts upon it
        self._permitted(database, watched, entries)
        sample = watched.sample
        known = sample is not None and any(rules.justified(policy, sample, entries[0]) for policy in policies)
        self.check(known, "unknown evidence never leads to an action", f"{database}: {sample}")
        if sample is None:
            return
        runtime = self.runtimes.get(self._book.deeds[entries[0].id].service)
        began = runtime.clock.now().mono - self._loop.time() + watched.began if runtime else 0.0
        self._to_blame(watched, entries, sample)
        for rule, text in rules.beyond(policies, entries, sample, runtime, began):
            self.check(holds=False, rule=rule, text=f"{database}: {text}")

    def _to_blame(self, watched: Watched, entries: Sequence[Entry], sample: Sample) -> None:
        """Only who leaks is restarted, where the policy wants that to be shown."""
        for entry in entries:
            action, intent = entry.intent.action, entry.intent
            before = [d for d in self._book.of_incident(intent.incident) if d.entry.id != entry.id]
            begun = any(Occasion.of(deed.entry.intent) == Occasion.of(intent) for deed in before)
            if not isinstance(action, RestartReplica) or begun or sample.slots is None:
                continue
            why = []
            for policy in (watched.policy, self.policies[intent.database]):
                suspicion = guilt.suspicion_of(policy, intent.step, action.replica.service)
                truth = watched.truth.get((policy.spare, suspicion.older_than)) if suspicion else None
                if suspicion is None or truth is None:
                    why.append("")
                    continue
                service, told = action.replica.service, self.told
                why.append(guilt.innocent(suspicion, service, truth, sample.slots, before, told=told))
                self._trace.counts[f"culprit {suspicion.otherwise}"] += 1
            self.check(not all(why), "only who leaks is restarted", f"{action.label}: {why[0]}")

    def _one_at_a_time(self, database: str, entries: Sequence[Entry]) -> None:
        new = {entry.id for entry in entries}
        under_way = [entry for entry in self.store.open_entries() if entry.id not in new]
        mine = [entry.id for entry in under_way if entry.intent.database == database]
        self.check(not mine, "one step at a time", f"{database}: {mine} open, {sorted(new)} intended")
        services = [a.replica.service for e in entries if isinstance(a := e.intent.action, RestartReplica)]
        busy = [a.replica.service for e in under_way if isinstance(a := e.intent.action, RestartReplica)]
        rule = "one action in flight for each service"
        self.check(len(services) <= 1 and not set(services) & set(busy), rule, f"{services}, {busy} open")

    def _permitted(self, database: str, watched: Watched, entries: Sequence[Entry]) -> None:
        pause, locks = self.store.in_force()
        since = self._forbidden.get("pause", 0.0)
        paused = pause is not None and since <= watched.began < since + self.pause_lasts - 0.01
        self.check(not paused, "nothing is done while paused", f"{database}: {pause}")
        scopes = {f"database:{database}"}
        scopes |= {
            f"service:{a.replica.service}"
            for e in entries
            if isinstance(a := e.intent.action, RestartReplica)
        }
        known = {s for s in scopes & locks.keys() if self._forbidden.get(s, 0.0) <= watched.began}
        self.check(not known, "nothing is done while locked", f"{database}: {sorted(known)}")

    def concluded(self, before: Entry, after: Entry) -> None:
        """An entry was given an outcome."""
        self.check(before.outcome is None, "each intent has one outcome", f"{before} was asked for another")
        self._open_for.pop(before.id, None)
        outcome, deed = after.outcome, self._book.deeds.get(after.id)
        if outcome is None or deed is None:
            return
        if outcome.result in {Result.CHANGED, Result.DROPPED, Result.DENIED}:
            self._book.undone.add(after.id)
        self._trace.note("outcome", f"{after.id} {outcome.result.value} {outcome.detail}", keep=False)
        self._trace.counts[f"outcome {outcome.result.value}"] += 1
        rule = "an outcome is true"
        if outcome.result in {Result.CHANGED, Result.DROPPED, Result.DENIED, Result.SIMULATED}:
            self.check(not deed.effects, rule, f"{outcome.result.value}, but it was done: {after}")
        if outcome.result is Result.SIMULATED:
            self.check(self._mode is Mode.DRY_RUN, rule, f"simulated in enforce mode: {after}")
        if outcome.result is Result.CONFIRMED:
            untrue = rules.not_so(after, self.databases, self.runtimes)
            self.check(not untrue, rule, f"confirmed, but {untrue}: {after}")

    def saved(self, incident: Incident) -> None:
        """An incident was recorded."""
        rule = "one incident at a time, closed for good"
        self.check(incident.id not in self._closed, rule, f"{incident.id} was closed before")
        if incident.closed_at is not None:
            self._closed.add(incident.id)
            self._trace.counts["incident over"] += 1
        there = [i.id for i in self.store.open_incidents() if i.database == incident.database]
        self.check(len(there) <= 1, rule, f"open: {there}")

    def forbidden(self, what: str) -> None:
        """A pause or lock was recorded."""
        self._forbidden[what] = self._loop.time()

    # what is done to the world

    def terminating(self, name: str, victim: SessionId) -> None:
        """A session is being terminated."""
        database = self.databases[name]
        self._trace.note("terminated", f"{name} {victim.pid}", keep=False)
        self._acts()
        entries = [e for e in self.store.open_entries() if e.intent.database == name]
        deed = self._claim(
            [
                e
                for e in entries
                if isinstance(a := e.intent.action, TerminateSession) and a.session.id == victim
            ],
            f"{name}: session {victim.pid}",
        )
        session = database.find(victim)
        if deed is None:
            return
        self._alone(deed)
        why = [rules.spared(session, policy, deed.entry.intent, database.now()) for policy in deed.policies]
        self.check(not all(why), "what is spared is not touched", f"{name}: {victim.pid} {why[0]}")
        self._book.terminations.setdefault(name, []).append(deed.decided)
        excess = [rules.exceeds_terminations(self._book, deed, policy) for policy in deed.policies]
        self.check(not all(excess), "no budget is exceeded", f"{name}: {excess[0]}")

    def restarting(self, service: str, name: str) -> None:
        """A replica is being restarted."""
        self._trace.note("restarted", name)
        self._acts()
        runtime = self.runtimes[service]
        replica = next((r for r in runtime.look() if r.name == name), None)
        found = []
        for deed in self._book.deeds.values():
            action = deed.entry.intent.action
            if not isinstance(action, RestartReplica) or replica is None:
                continue
            if (action.replica.id, action.replica.started) == (replica.id, replica.started):
                found.append(deed.entry)
        claimed = self._claim(found, name)
        why = rules.replica_spared(replica)
        self.check(not why, "what is spared is not touched", f"{name}: {why}")
        busy = len(runtime.under_way)
        self.check(busy <= 1, "one action in flight for each service", f"{service}: {busy} at once")
        if claimed is None:
            return
        self._alone(claimed)
        self._book.restarts.append(claimed)
        size = runtime.size
        beyond = [rules.exceeds_share(self._book, claimed, policy, size) for policy in claimed.policies]
        self.check(not all(beyond), "no step exceeds its cap", f"{name}: {beyond[0]}")
        excess = [rules.exceeds_restarts(self._book, claimed, policy) for policy in claimed.policies]
        self.check(not all(excess), "no budget is exceeded", f"{name}: {excess[0]}")

    def _alone(self, deed: Deed) -> None:
        since = self.databases[deed.database].rival_since
        held = since is not None and since <= deed.decided
        self.check(not held, "only one of two acts", f"{deed.database}: another one may since {since}")

    def _acts(self) -> None:
        self.check(self._mode is Mode.ENFORCE, "a dry run does nothing", "but it did")

    def _claim(self, entries: Sequence[Entry], target: str) -> Deed | None:
        """The deed that this is the effect of."""
        self.check(entries, "no action without an intent", target)
        unused = [e for e in entries if not self._book.deeds[e.id].effects]
        if entries:
            self.check(unused, "nothing is done twice for one intent", target)
        if not unused:
            return None
        deed = self._book.deeds[unused[-1].id]  # an older one may have got lost on its way
        deed.effects += 1
        return deed

    # what time brings

    def _grow_old(self, database: str, passed: float) -> None:
        for entry in self.store.open_entries():
            if entry.intent.database == database:
                age = self._open_for.get(entry.id, 0.0) + passed
                self._open_for[entry.id] = age
                longest = rules.patience(entry).total_seconds()
                self.check(age < longest, "each intent gets an outcome", f"open for {age:.0f} s: {entry}")

    async def compare(self) -> None:
        """Make sure that the databases' samples are what a fresh look would show."""
        for database in self.databases.values():
            moment = database.clock.now()
            if database.trouble is not None or not database.readable:
                continue
            kept = await database.sample(moment, database.starts)
            fresh = await database.fresh_sample(moment)
            kept, fresh = (replace(s, groups=tuple(sorted(s.groups, key=repr))) for s in (kept, fresh))
            self.check(kept == fresh, "samples are fresh", f"{database.name}: {kept} is not {fresh}")

    def unfinished(self) -> list[str]:
        """What is open still."""
        return [i.id for i in self.store.open_incidents()] + [str(e.id) for e in self.store.open_entries()]
