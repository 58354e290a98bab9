"""Audits: what the rules find, how sessions are counted, how the budget adds up."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.assess import Watch, assess
from remediator.core.audit.budget import budget_of
from remediator.core.audit.catalogue import Catalogue, Override, Place, Role, Setting
from remediator.core.audit.compare import compared, snapshot_of
from remediator.core.audit.facts import AGES, Busiest, Churn, Connections, Facts, ServiceFacts, cutoffs
from remediator.core.audit.finding import Severity
from remediator.core.audit.memory import estimate
from remediator.core.audit.report import Report, report_on
from remediator.core.audit.rules import RULES
from remediator.core.audit.sessions import idle_by_age
from remediator.core.audit.sql import identifier, literal
from remediator.core.grace import StopGrace
from remediator.core.model import IDLE, SessionGroup
from remediator.core.owner import Owner, OwnerKind
from remediator.core.policy import Spare
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.turn import Turn
from tests.builders import START, make_group, make_policy, make_sample

MINUTE = timedelta(minutes=1)
API, CELERY = Owner(OwnerKind.SERVICE, "api"), Owner(OwnerKind.SERVICE, "celery")
HEALTHY = {
    "tcp_keepalives_idle": Setting("60", "s"),
    "tcp_keepalives_interval": Setting("10", "s"),
    "tcp_keepalives_count": Setting("6"),
    "idle_in_transaction_session_timeout": Setting("600000", "ms"),
    "idle_session_timeout": Setting("3600000", "ms"),
    "statement_timeout": Setting("60000", "ms"),
    "client_connection_check_interval": Setting("10000", "ms"),
    "superuser_reserved_connections": Setting("3"),
    "reserved_connections": Setting("2"),
    "work_mem": Setting("4096", "kB"),
    "hash_mem_multiplier": Setting("2"),
    "shared_buffers": Setting("16384", "8kB"),
}


def catalogue(**changes: Setting) -> Catalogue:
    """A server on which nothing is wrong, but for these settings."""
    settings = {**HEALTHY, **changes}
    return Catalogue(
        "remediator",
        160004,
        reserved_slot=True,
        settings=settings,
        roles=(Role("shop"),),
        places=(Place("shop"),),
    )


def group(owner: Owner, count: int, *, idle: timedelta = 20 * MINUTE, state: str = IDLE) -> SessionGroup:
    """Sessions of this owner."""
    made = make_group(count=count, state=state, idle_for_at_least=idle.total_seconds())
    return replace(made, owner=owner, oldest=START - timedelta(days=3))


def facts(*groups: SessionGroup, used: int | None = None, **more: Any) -> Facts:
    """What is known of a server with these sessions."""
    total = sum(g.count for g in groups) if used is None else used
    made = Facts("shop", make_policy(), make_sample(used=total, groups=groups), catalogue(), settled=START)
    return replace(made, **more)


def report(known: Facts) -> Report:
    """The report on this."""
    return report_on(known, Turn(assess(known.policy, Watch(), known.sample)))


def ids(known: Facts) -> list[str]:
    """The findings by their ids."""
    return [finding.id for finding in report(known).findings]


def unread(kind: TroubleKind) -> Facts:
    """A server that cannot be read."""
    return Facts("shop", make_policy(), replace(make_sample(used=None), trouble=Trouble(kind, "no")))


@pytest.mark.parametrize(
    ("kind", "why", "fix"),
    [
        (TroubleKind.FULL, "A daemon that was connected before goes on reading", "remediator plan"),
        (TroubleKind.DENIED, "but by a daemon connected before", "pg_hba.conf"),
        (TroubleKind.UNREACHABLE, "down is not a full one: nothing is done", "Bring the server back"),
        (TroubleKind.STARTING, "down is not a full one: nothing is done", "Wait"),
        (TroubleKind.HIDDEN, "Nothing else can be told", "remediator doctor"),
    ],
)
def test_a_server_that_cannot_be_read_is_told_by_its_trouble(kind: TroubleKind, why: str, fix: str) -> None:
    """What remediator does about a full one, it does not about one that is down."""
    (found,) = (finding for finding in report(unread(kind)).findings if finding.id == "unreadable")
    assert why in found.why
    assert fix in found.fix


def test_what_could_not_be_looked_at_is_not_gone() -> None:
    """Neither in that audit nor in the next one that can look, which finds it as before."""
    first = report(facts(group(CELERY, 5), used=7))
    blind = compared(report(unread(TroubleKind.UNREACHABLE)), snapshot_of(first))
    assert blind.changes == ("new: unreadable (server)", "not looked at: leaked_sessions (celery)")
    assert blind.unlooked == (("leaked_sessions", "celery"),)
    again = compared(report(unread(TroubleKind.UNREACHABLE)), snapshot_of(blind))
    assert again.changes == ("not looked at: leaked_sessions (celery)", "1 finding as before")
    assert compared(first, snapshot_of(again)).changes == ("gone: unreadable (server)", "1 finding as before")
    healthy = report(facts(group(CELERY, 1), used=3))
    assert "gone: leaked_sessions (celery)" in compared(healthy, snapshot_of(again)).changes
    since = compared(healthy, replace(snapshot_of(first), blind_since=2)).changes
    assert since[:2] == ("2 audits since then could not read the server", "-4 used slots, 3 now")


def test_what_was_not_watched_is_not_gone() -> None:
    """Churn without a look at it, a week that was not recorded, containers that could not be asked."""
    services = (ServiceFacts("celery", graces=(StopGrace("celery-1", None),)),)
    busiest = Busiest(START, 91, 100, 7, ())
    known = facts(churn=Churn(50, 10.0), busiest=busiest, services=services)
    later = facts(services=(replace(services[0], replicas=None, graces=()),))
    found = compared(report(later), snapshot_of(report(known)))
    assert {name for name, _ in found.unlooked} == {"churn", "was_nearly_full", "short_stop_grace"}
    looked = facts(
        churn=Churn(1, 10.0), busiest=replace(busiest, used=1), services=(replace(services[0], graces=()),)
    )
    assert not compared(report(looked), snapshot_of(report(known))).unlooked


def test_our_own_session_is_not_a_strangers() -> None:
    """With our role and our name; the same name of another role is."""
    mine = replace(group(Owner(), 1), user=catalogue().user, application="remediator")
    services = (ServiceFacts("celery"),)
    known = facts(group(CELERY, 2), mine, services=services)
    assert "unattributed" in ids(known)
    assert "unattributed" not in ids(replace(known, own="remediator"))
    stranger = replace(mine, user="app")
    assert "unattributed" in ids(
        replace(facts(group(CELERY, 2), stranger, services=services), own="remediator")
    )


def test_a_healthy_server_has_no_findings() -> None:
    """Sessions that come and go, a pool at rest within what was said."""
    service = ServiceFacts("api", Connections(normal=8, peak=10), 1, (StopGrace("api-1", MINUTE),))
    known = facts(group(API, 8), services=(service,), churn=Churn(3, 10.0))
    assert not report(known).findings
    assert report(known).worst is Severity.NOTE
    assert report(known).readable


@pytest.mark.parametrize(
    ("found", "known"),
    [
        ("orphans", facts(group(Owner(OwnerKind.ORPHAN, "api"), 1, idle=timedelta(0)))),
        ("leaked_sessions", facts(group(CELERY, 5))),
        ("idle_in_transaction", facts(group(API, 1, idle=MINUTE, state="idle in transaction (aborted)"))),
        ("tool_idle", facts(replace(group(API, 1, idle=timedelta(days=1)), application="PGADMIN 4"))),
        ("never_used", facts(replace(group(API, 2), unused=True))),
        ("churn", facts(churn=Churn(50, 10.0))),
        ("was_nearly_full", facts(busiest=Busiest(START, 91, 100, 7, (("api", 80),)))),
        (
            "short_stop_grace",
            facts(services=(ServiceFacts("celery", graces=(StopGrace("celery-1", None),)),)),
        ),
        ("keepalives_off", facts(catalogue=catalogue(tcp_keepalives_idle=Setting("0", "s")))),
        (
            "keepalives_late",
            facts(
                catalogue=catalogue(
                    tcp_keepalives_interval=Setting("0", "s"), tcp_keepalives_count=Setting("0")
                ),
                services=(ServiceFacts("api", Connections(max_age=10 * MINUTE)),),
            ),
        ),
        ("restart_pending", facts(catalogue=catalogue(max_connections=Setting("100", pending=True)))),
        ("unreadable", Facts("shop", make_policy(), make_sample(used=None))),
    ],
)
def test_each_alone(found: str, known: Facts) -> None:
    """The one thing that is wrong is found, and nothing else."""
    assert ids(known) == [found]


def test_what_is_not_there_is_not_found() -> None:
    """Less of each than matters."""
    quiet = facts(
        group(CELERY, 4),
        group(API, 3, idle=MINUTE / 2, state="idle in transaction"),
        replace(group(API, 1), unused=True),
        replace(group(API, 1, idle=timedelta(hours=12)), application="psql"),
        churn=Churn(49, 10.0),
        busiest=Busiest(START, 90, 100, 7),
    )
    assert not ids(quiet)


def test_whom_the_policy_spares_does_not_leak() -> None:
    """The operator knows of them."""
    spared = make_policy(spare=Spare(applications=("backup*",)))
    held = replace(group(CELERY, 9), application="backup-1")
    assert ids(facts(held)) == ["leaked_sessions"]
    assert not ids(facts(held, policy=spared))


def test_a_transaction_idle_for_an_hour_is_a_problem() -> None:
    """It is no slow program any more."""
    (finding,) = report(facts(group(API, 1, idle=60 * MINUTE, state="idle in transaction"))).findings
    assert finding.severity is Severity.PROBLEM


def test_the_worst_comes_first() -> None:
    """Whatever the order of the rules."""
    known = facts(
        *(group(CELERY, 5), group(API, 1, idle=60 * MINUTE, state="idle in transaction")),
        catalogue=catalogue(client_connection_check_interval=Setting("0", "ms")),
    )
    severities = [finding.severity for finding in report(known).findings]
    assert severities == [Severity.PROBLEM, Severity.WARNING, Severity.NOTE]
    assert report(known).severities == {"problem": 1, "warning": 1, "note": 1}


def test_an_old_server_is_not_blamed_for_what_it_does_not_know() -> None:
    """PostgreSQL 13 has no idle_session_timeout."""
    settings = {name: s for name, s in HEALTHY.items() if name != "idle_session_timeout"}
    assert not ids(facts(catalogue=replace(catalogue(), settings=settings)))


def test_a_role_is_decided_where_it_is_used() -> None:
    """A database's timeout covers a role that uses that database only."""
    off = catalogue(statement_timeout=Setting("0", "ms"))
    off = replace(off, places=(Place("shop"), Place("other")))
    covered = replace(off, overrides=(Override(None, "shop", "statement_timeout"),))
    assert ids(facts(catalogue=covered)) == ["no_statement_timeout"]
    assert not ids(facts(catalogue=replace(covered, used=frozenset({("shop", "shop")}))))
    elsewhere = replace(covered, used=frozenset({("shop", "shop"), ("shop", "other")}))
    assert ids(facts(catalogue=elsewhere)) == ["no_statement_timeout"]


def test_numbers_of_settings_have_their_units() -> None:
    """Seconds and bytes."""
    assert Setting("3", "min").number == 180
    assert Setting("1500", "ms").number == 1.5
    assert Setting("16384", "8kB").number == 128 * 1024**2


counts = st.integers(0, 200)


@given(
    st.one_of(st.none(), st.integers(1, 50)),
    st.integers(1, 9),
    st.one_of(st.none(), st.integers(1, 50)),
    st.integers(1, 9),
    counts,
)
def test_a_usual_day_never_needs_more_than_the_peak(
    processes: int | None, threads: int, pool: int | None, replicas: int, normal: int
) -> None:
    """However the numbers were given."""
    told = Connections(None if processes else normal, None, processes, threads, pool)
    usual, most = told.usual(replicas), told.most(replicas)
    assert usual is not None
    assert most is not None
    assert usual <= most or (pool is not None and pool < threads)
    if processes:
        assert usual == replicas * processes * min(threads, pool or threads)


@given(st.lists(st.tuples(st.sampled_from([API, CELERY]), st.integers(1, 40)), max_size=6), counts, counts)
def test_the_budget_counts_each_session_once(held: list[tuple[Owner, int]], normal: int, more: int) -> None:
    """As a service's, or as somebody else's."""
    groups = [group(owner, number) for owner, number in held]
    services = (ServiceFacts("api", Connections(normal=normal, peak=normal + more)), ServiceFacts("celery"))
    known = facts(*groups, services=services)
    budget = budget_of(known)
    assert budget is not None
    there = {line.service: line.there for line in budget.lines}
    assert there["api"] + budget.others == sum(number for _, number in held)
    assert (budget.normal, budget.peak) == (budget.others + normal, budget.others + normal + more)
    memory = estimate(known, budget)
    assert memory is not None
    kept = memory.now - budget.usable
    assert memory.wanted >= memory.now
    assert memory.wanted - kept >= budget.peak
    assert memory.least <= memory.most
    roomy = budget.peak * 1.25 <= budget.usable
    assert roomy == (memory.wanted == memory.now), "nothing is to be raised that is high enough"
    assert roomy != bool(memory.statements)


@given(st.lists(st.tuples(st.sampled_from(["idle", "active"]), st.sampled_from(AGES), counts), max_size=10))
def test_ages_of_idle_sessions_add_up(groups: list[tuple[str, timedelta, int]]) -> None:
    """Each idle session is in one class."""
    sample = make_sample(groups=[group(API, n, idle=age, state=state) for state, age, n in groups])
    assert sum(idle_by_age(sample)) == sum(n for state, _, n in groups if state == IDLE)
    for age, number in zip(AGES, idle_by_age(sample), strict=True):
        assert number == sum(n for state, a, n in groups if state == IDLE and a == age)


def test_a_sample_is_counted_by_every_age_that_a_rule_asks_for() -> None:
    """A cutoff that the server did not count by would find too few."""
    service = ServiceFacts("api", Connections(max_age=timedelta(seconds=90)))
    found = cutoffs(make_policy(), (service,))
    assert set(AGES[1:]) | set(make_policy().cutoffs) | {timedelta(seconds=90)} <= set(found)
    assert list(found) == sorted(set(found))


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)


def unquoted(text: str, mark: str) -> str:
    """What PostgreSQL reads in a quoted name or text, whatever `standard_conforming_strings` is."""
    inner = re.fullmatch(rf"(U&|E)?{mark}(.*){mark}", text, re.DOTALL)
    assert inner is not None
    assert mark not in inner[2].replace(mark * 2, "")
    plain = inner[2].replace(mark * 2, mark)
    if not inner[1]:
        assert mark == '"' or "\\" not in plain
        return plain
    assert inner[1] == ("U&" if mark == '"' else "E")

    def escaped(match: re.Match[str]) -> str:
        return "\\" if match[0] == "\\\\" else chr(int(next(filter(None, match.groups())), 16))

    four, more = ("", r"\+([0-9A-F]{6})") if inner[1] == "U&" else ("u", r"U([0-9A-F]{8})")
    return re.sub(rf"\\(?:\\|{four}([0-9A-F]{{4}})|{more})", escaped, plain)


@given(names)
def test_a_quoted_name_is_that_name_and_can_be_seen(name: str) -> None:
    """Whatever it holds: quotes, backslashes, line breaks, marks that turn the direction of writing."""
    for quoted, mark in ((identifier(name), '"'), (literal(name), "'")):
        assert unquoted(quoted, mark) == name
        assert quoted.isprintable()


def test_a_superuser_is_not_to_be_the_last() -> None:
    """Who takes that right from the only role that has it has no way back."""
    postgres, other = Role("postgres", superuser=True, sessions=9), Role("dba", superuser=True)
    statement = 'ALTER ROLE "postgres" NOSUPERUSER;'
    for roles, statements in (((postgres,), ()), ((postgres, other), (statement,))):
        known = facts(catalogue=replace(catalogue(), roles=roles))
        (found,) = (f for f in report(known).findings if f.id == "superuser_clients")
        assert found.statements == statements


def test_who_was_started_since_the_addresses_were_asked_for_is_no_orphan() -> None:
    """Its address is nobody's by what was known 40 seconds before, and its sessions began after that."""
    settled = START - timedelta(seconds=40)
    old = group(Owner(OwnerKind.ORPHAN), 3, idle=timedelta(0))
    for seconds in (0, 5, 40, 42):
        young = replace(old, oldest=START - timedelta(seconds=seconds))
        assert ids(facts(young, settled=settled)) == [], "two seconds are what clocks may differ by"
    assert ids(facts(replace(old, oldest=START - timedelta(seconds=43)), settled=settled)) == ["orphans"]
    assert ids(facts(old, settled=None)) == []
    both = facts(old, replace(old, oldest=START), settled=settled)
    (found,) = report(both).findings
    assert "3 sessions" in found.evidence
    (statement,) = found.statements
    assert f"backend_start < {literal((START - timedelta(seconds=42)).isoformat(sep=' '))}" in statement
    started = replace(both, starts={"172.18.0.5": START - timedelta(hours=1)})
    (statement,) = report(started).findings[0].statements
    assert f"backend_start < {literal((START - timedelta(hours=1)).isoformat(sep=' '))}" in statement


groups = st.builds(
    lambda owner, count, idle, state, unused, user, name: replace(
        group(owner, count, idle=idle, state=state), unused=unused, user=user, application=name
    ),
    owner=st.builds(Owner, st.sampled_from(OwnerKind), st.sampled_from(["api", ""])),
    count=st.integers(1, 60),
    idle=st.sampled_from(AGES),
    state=st.sampled_from(["idle", "active", "idle in transaction", ""]),
    unused=st.booleans(),
    user=names,
    name=names,
)


@given(st.lists(groups, max_size=8), st.lists(groups, max_size=8))
def test_findings_are_whole_whatever_there_is(now: list[SessionGroup], then: list[SessionGroup]) -> None:
    """Each has what a person needs; two audits can be compared either way, and with themselves."""
    services = (ServiceFacts("api", Connections(processes=3, threads=4, max_age=MINUTE), None),)
    reports = [report(facts(*g, services=services, churn=Churn(9, 1.0))) for g in (now, then)]
    known = {rule.id: rule for rule in RULES}
    for finding in reports[0].findings:
        assert finding.id in known
        assert finding.subject
        assert finding.evidence
        assert all(statement.endswith(";") for statement in finding.statements)
    first, second = reports
    changes = compared(first, snapshot_of(second)).changes
    back = compared(second, snapshot_of(first)).changes
    assert sum(c.startswith("new: ") for c in changes) == sum(c.startswith("gone: ") for c in back)
    assert not [c for c in compared(first, snapshot_of(first)).changes if not c.endswith("as before")]


def test_what_has_changed_is_said_in_numbers() -> None:
    """Sessions by owner, findings that are new, and those that are gone."""
    before = report(facts(group(CELERY, 5), used=7))
    now = report(facts(group(API, 17), group(CELERY, 4), used=20))
    assert compared(now, snapshot_of(before)).changes == (
        "+13 used slots, 20 now",
        "+17 idle sessions of api, 17 now",
        "-1 idle session of celery, 4 now",
        "new: leaked_sessions (api)",
        "new: level_raised (server)",
        "gone: leaked_sessions (celery)",
    )
    assert compared(now, None).since is None
