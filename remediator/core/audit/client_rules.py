"""What to look for in who holds sessions, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase

from remediator.core.assess import Watch, assess
from remediator.core.audit.budget import budget_of
from remediator.core.audit.facts import Facts
from remediator.core.audit.finding import Hit, Severity
from remediator.core.audit.memory import estimate
from remediator.core.audit.sessions import Holding, holdings, idle_for, in_transaction_for, of_service
from remediator.core.audit.sql import set_for_role, terminate, terminate_orphans
from remediator.core.audit.unread import without_reading
from remediator.core.leak import is_leaked
from remediator.core.model import IDLE, Level, SessionGroup
from remediator.core.owner import Owner, OwnerKind
from remediator.core.text import count, duration, percent

_OWNERS = 5
# What desktop tools call themselves. Drivers are not among them: services use those too.
TOOLS = (
    *("pgAdmin*", "DBeaver*", "DataGrip*", "IntelliJ*", "PyCharm*", "TablePlus*", "Navicat*", "HeidiSQL*"),
    *("Beekeeper*", "Postico*", "Azure Data Studio*", "azuredatastudio*", "psql", "pgcli*", "Toad*"),
    *("dbForge*", "SQLPro*", "Valentina*", "vscode*", "Arctype*"),
)


def unreadable(facts: Facts) -> Iterator[Hit]:
    """Nothing could be read."""
    trouble = facts.sample.trouble
    if trouble is not None:
        why, fix = without_reading(trouble.kind)
        yield Hit("server", trouble.detail, why=why, fix=fix)


def level_raised(facts: Facts) -> Iterator[Hit]:
    """The server is beyond a level's threshold now."""
    assessment = assess(facts.policy, Watch(), facts.sample)
    level = max(assessment.level, assessment.pending or Level.NORMAL)
    if level >= Level.ALERT:
        severity = Severity.PROBLEM if level is Level.CRITICAL else None
        yield Hit("server", f"{level.label}: {assessment.because(level)}", (), severity)


def was_nearly_full(facts: Facts) -> Iterator[Hit]:
    """The slots nearly ran out lately, whatever is now."""
    busiest, rule = facts.busiest, facts.policy.levels.get(Level.CRITICAL)
    threshold = rule.conditions.utilization if rule else None
    if busiest is None or threshold is None or busiest.used / busiest.usable <= threshold:
        return
    owners = ", ".join(f"{owner} {number}" for owner, number in busiest.owners[:_OWNERS])
    share = percent(busiest.used / busiest.usable)
    yield Hit(
        "server",
        f"{busiest.used} of {busiest.usable} usable slots used ({share}) at {busiest.at:%Y-%m-%d %H:%M} UTC"
        + (f": {owners}" if owners else ""),
    )


def leaked_sessions(facts: Facts) -> Iterator[Hit]:
    """Somebody holds sessions that have been idle for long."""
    slots = facts.sample.slots
    if slots is None:
        return
    mark = facts.yardstick
    many = min(mark.leak_count, max(1, round(mark.leak_share * slots.usable)))
    # A pool at rest is no leak: it may keep what it is said to need.
    kept = {
        service.name: service.connections.usual(service.replicas or 1) or 0
        for service in facts.services
        if service.connections and service.connections.max_age is None
    }

    def age_of(owner: Owner) -> timedelta:
        return max(facts.leak_age, facts.kept_for(owner))

    def wanted(group: SessionGroup) -> bool:
        return is_leaked(facts.policy, age_of(group.owner), group)

    for held in holdings(facts.sample, wanted):
        if held.count >= many and held.count > kept.get(held.owner.name, 0):
            age, some = age_of(held.owner), held.in_transaction
            some_so = f", {some} of them in a transaction" if some else ""
            old = _old(facts, held, age, wanted)
            statements = old.ended() if old.held.in_transaction < old.held.count else ()
            if old.held.in_transaction:
                statements += old.ended(in_transaction=True)
            yield Hit(held.whose, _held(held, age) + some_so + _spared(held.count, old), statements)


@dataclass(frozen=True, slots=True)
class _Old:
    """Those of somebody's sessions that a statement may end.

    Attributes:
        held: They; their number may be zero.
        age: For how long each of them has been idle at least.
    """

    held: Holding
    age: timedelta

    def ended(self, *, in_transaction: bool = False, unused: bool = False) -> tuple[str, ...]:
        """The statement that ends them, if there are any."""
        if not self.held.count:
            return ()
        return (terminate(self.held, self.age, in_transaction=in_transaction, unused=unused),)


def _old(facts: Facts, held: Holding, age: timedelta, wanted: Callable[[SessionGroup], bool]) -> _Old:
    """Find them among the sessions that a rule has found, which have been idle for so long at least."""
    since = max(age, facts.ended_from(held.owner))
    whose = (held.owner, held.user, held.application)

    def older(group: SessionGroup) -> bool:
        its = (group.owner, group.user, group.application)
        return its == whose and wanted(group) and group.idle_for_at_least >= since.total_seconds()

    found = next(iter(holdings(facts.sample, older)), replace(held, count=0, in_transaction=0))
    return _Old(found, since)


def _spared(found: int, *olds: _Old) -> str:
    """Tell of sessions of one owner that a rule finds before a statement would end them."""
    number = sum(old.held.count for old in olds)
    if number == found:
        return ""
    since = duration(olds[0].age)
    return f"; {number or 'none'} of them for the {since} from which on a statement would end them"


def _held(held: Holding, age: timedelta | None = None, what: str = "idle") -> str:
    since = f", the first since {held.since:%Y-%m-%d %H:%M} UTC" if held.since else ""
    names = f"role {held.user}, application {held.application or 'unnamed'}"
    idle = "" if age is not None else " idle"
    longest = f", the longest{idle} for {duration(held.idle_for)} at least" if held.idle_for else ""
    long = f" {what} for {duration(age)} or longer" if age is not None else ""
    return f"{count(held.count, 'session')}{long} ({names}){longest}{since}"


def idle_in_transaction(facts: Facts) -> Iterator[Hit]:
    """Somebody holds transactions open and does nothing."""
    age = facts.yardstick.in_transaction
    long = facts.yardstick.in_transaction_long.total_seconds()
    for held in holdings(facts.sample, in_transaction_for(age)):
        severity = Severity.PROBLEM if held.idle_for >= long else None
        old = _old(facts, held, age, in_transaction_for(age))
        limit = set_for_role(held.user, "idle_in_transaction_session_timeout", "10min")
        statements = (limit, *old.ended(in_transaction=True))
        evidence = _held(held, age, "idle in a transaction") + _spared(held.count, old)
        yield Hit(held.whose, evidence, statements, severity)


def idle_beyond_max_age(facts: Facts) -> Iterator[Hit]:
    """A service keeps connections longer than it is said to."""
    for service in facts.services:
        age = facts.keeps(service)
        if age is None or service.connections is None or service.connections.max_age is None:
            continue
        groups = of_service(facts.sample.groups, service.name)
        found = sum(g.count for g in groups if idle_for(age)(g))
        if found:
            said = duration(service.connections.max_age)
            number = count(found, "session")
            evidence = f"{number} idle for {duration(age)} or longer; connections.max_age is {said}"
            olds = [
                _old(facts, held, age, idle_for(age))
                for held in holdings(facts.sample, idle_for(age))
                if held.owner.kind is OwnerKind.SERVICE and held.owner.name == service.name
            ]
            statements = tuple(statement for old in olds for statement in old.ended())
            yield Hit(service.name, evidence + _spared(found, *olds), statements)


def never_used(facts: Facts) -> Iterator[Hit]:
    """Somebody opens sessions and never runs a statement in them."""
    age = facts.yardstick.unused

    def wanted(group: SessionGroup) -> bool:
        return group.unused and idle_for(age)(group)

    for held in holdings(facts.sample, wanted):
        if held.count >= facts.yardstick.unused_count:
            old = _old(facts, held, age, wanted)
            yield Hit(held.whose, _held(held, age) + _spared(held.count, old), old.ended(unused=True))


def no_sign_of_health_checks(facts: Facts) -> Iterator[Hit]:
    """A service keeps connections, and none looks as if it were tested."""
    for service in facts.services:
        if facts.catalogue is None or (service.connections and service.connections.checked):
            continue
        groups = of_service(facts.sample.groups, service.name)
        names = {(g.user, g.application) for g in groups}
        kept = [k for k in facts.catalogue.kept if (k.user, k.application) in names]
        if kept and not any(k.pinged for k in kept):
            number = count(sum(k.sessions for k in kept), "session")
            age = duration(facts.yardstick.kept)
            yield Hit(service.name, f"{number} older than {age}; the last statement of none is a test")


def tool_idle(facts: Facts) -> Iterator[Hit]:
    """Somebody's desktop tool was left open."""
    age = facts.yardstick.tool_idle
    for held in holdings(facts.sample, idle_for(age)):
        if any(fnmatchcase(held.application.casefold(), tool.casefold()) for tool in TOOLS):
            old = _old(facts, held, age, idle_for(age))
            yield Hit(held.application, _held(held, age) + _spared(held.count, old), old.ended())


def orphans(facts: Facts) -> Iterator[Hit]:
    """Sessions are left of containers that are gone."""

    def wanted(group: SessionGroup) -> bool:
        return group.owner.kind is OwnerKind.ORPHAN and group.state == IDLE and facts.orphaned(group)

    for held in holdings(facts.sample, wanted):
        bounds = ((address, facts.orphaned_before(address)) for address in held.addresses)
        statements = tuple(terminate_orphans(held, address, before) for address, before in bounds if before)
        yield Hit(held.whose, _held(held), statements)


def churn(facts: Facts) -> Iterator[Hit]:
    """Sessions come and go all the time."""
    seen = facts.churn
    if seen is not None and seen.per_second >= facts.yardstick.churn:
        rate = f"{seen.per_second:.1f} a second"
        there = f", {facts.sample.slots.used} are there" if facts.sample.slots else ""
        yield Hit(
            "server", f"{count(seen.begun, 'session')} began in {duration(seen.seconds)}, {rate}{there}"
        )


def unattributed(facts: Facts) -> Iterator[Hit]:
    """Whose the sessions are is not known."""
    if not facts.services:
        return
    groups = [g for g in facts.sample.groups if not facts.ours(g)]
    total = sum(g.count for g in groups)
    unknown = sum(g.count for g in groups if not g.owner.known)
    if total and unknown / total >= facts.yardstick.unattributed:
        share = percent(unknown / total)
        evidence = f"{unknown} of {count(total, 'session')} ({share}) belong to nobody that is known"
        yield Hit("config", "; ".join(filter(None, (evidence, facts.sample.untold))))


def over_budget(facts: Facts) -> Iterator[Hit]:
    """A service has more sessions than it is meant to have."""
    budget = budget_of(facts)
    for line in budget.lines if budget else ():
        if line.peak is not None and line.there > line.peak:
            yield Hit(
                line.service, f"{count(line.there, 'session')}, {line.peak} are the most it is meant to have"
            )


def budget_exceeds_slots(facts: Facts) -> Iterator[Hit]:
    """What services are meant to have does not fit."""
    budget = budget_of(facts)
    if budget is None or not budget.known:
        return
    room = budget.usable * (1 - facts.yardstick.margin)
    if budget.peak <= room:
        return
    more = estimate(facts, budget)
    severity = Severity.PROBLEM if budget.normal > budget.usable else None
    evidence = (
        f"{budget.normal} sessions on a usual day, {budget.peak} at peak ({budget.others} of them others', "
        f"as now), and {budget.usable} usable slots"
    )
    yield Hit("server", evidence, more.statements if more else (), severity)


def short_stop_grace(facts: Facts) -> Iterator[Hit]:
    """A container is killed before it can finish its work."""
    for service in facts.services:
        for grace in service.graces:
            if grace.short:
                yield Hit(service.name, grace.text)
