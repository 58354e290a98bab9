"""What to look for in a server's settings and limits."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from remediator.core.audit.catalogue import Catalogue, Place, Role
from remediator.core.audit.facts import Facts
from remediator.core.audit.finding import Hit, Severity
from remediator.core.audit.sql import RELOAD, identifier, set_for_role, set_for_server
from remediator.core.server import NO_SLOT_KEPT, RESERVED_SINCE
from remediator.core.text import count, duration

_MOST_NAMED = 20
_OURS = 2
"""Slots that we need: one session that watches, and one for the probe."""
_KEEPALIVES = {"tcp_keepalives_idle": 60, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 6}
# What a zero leaves it to.
_LINUX_KEEPALIVES = {"tcp_keepalives_idle": 7200, "tcp_keepalives_interval": 75, "tcp_keepalives_count": 9}


def keepalives_off(facts: Facts) -> Iterator[Hit]:
    """The server asks silent clients only after hours whether they are there."""
    catalogue = facts.catalogue
    if catalogue is None:
        return
    setting = catalogue.setting("tcp_keepalives_idle")
    if setting is not None and not setting.own and not setting.number:
        evidence = "tcp_keepalives_idle is 0: the operating system's own, on Linux 2h"
        yield Hit("server", evidence, _keepalive_statements())


def keepalives_late(facts: Facts) -> Iterator[Hit]:
    """The server finds lost clients later than services renew their connections."""
    catalogue, ages = facts.catalogue, facts.max_ages
    if catalogue is None or not ages or not catalogue.number("tcp_keepalives_idle"):
        return
    idle, interval, questions = (
        catalogue.number(name) or default for name, default in _LINUX_KEEPALIVES.items()
    )
    seconds = idle + interval * questions
    if seconds > min(ages).total_seconds():
        said = duration(min(ages))
        evidence = f"a lost client is found after {duration(seconds)}; connections.max_age is {said}"
        yield Hit("server", evidence, _keepalive_statements(min(ages).total_seconds()))


def _keepalive_statements(within: float = 120.0) -> tuple[str, ...]:
    values = dict(_KEEPALIVES)
    if within < 60 + 10 * 6:
        values = {
            "tcp_keepalives_idle": max(1, int(within / 2)),
            "tcp_keepalives_interval": max(1, int(within / 8)),
            "tcp_keepalives_count": 3,
        }
    return (*(set_for_server(name, value) for name, value in values.items()), RELOAD)


def no_idle_in_transaction_timeout(facts: Facts) -> Iterator[Hit]:
    """Nothing ends a transaction that was forgotten."""
    return _undecided(facts, "idle_in_transaction_session_timeout", "10min")


def no_idle_session_timeout(facts: Facts) -> Iterator[Hit]:
    """Nothing in the server ends an idle session."""
    return _undecided(facts, "idle_session_timeout", "1h")


def no_statement_timeout(facts: Facts) -> Iterator[Hit]:
    """Nothing ends a statement that never returns."""
    return _undecided(facts, "statement_timeout", "60s")


def _undecided(facts: Facts, name: str, value: str) -> Iterator[Hit]:
    """Roles that may log in and for which nobody has set a timeout, be it to 0."""
    catalogue = facts.catalogue
    setting = catalogue.setting(name) if catalogue else None
    if catalogue is None or setting is None or (setting.number and not setting.own):
        return
    roles = [role.name for role in catalogue.undecided(name) if _ordinary(role, catalogue)]
    if not roles:
        return
    shown = ", ".join(roles[:_MOST_NAMED]) + (", ..." if len(roles) > _MOST_NAMED else "")
    evidence = f"not set for {count(len(roles), 'role')}: {shown}"
    severity = None
    if setting.own:
        evidence += f"; the server's own value is hidden from role {catalogue.user}, which has another one"
        severity = Severity.NOTE
    statements = tuple(set_for_role(role, name, value) for role in roles[:_MOST_NAMED])
    yield Hit("roles", evidence, statements, severity)


def _ordinary(role: Role, catalogue: Catalogue) -> bool:
    return role.login and not role.superuser and role.name != catalogue.user


def no_reserved_slot(facts: Facts) -> Iterator[Hit]:
    """A full server would not let us in."""
    catalogue = facts.catalogue
    if catalogue is None or catalogue.reserved_slot:
        return
    if catalogue.version < RESERVED_SINCE:
        if _left_by_limits(facts, catalogue):
            return
        fix = f"{NO_SLOT_KEPT} Do not restart the daemon while the server is full."
        yield Hit("server", "this version of PostgreSQL cannot keep one", fix=fix)
        return
    evidence = f"role {catalogue.user} may not use one"
    statements: tuple[str, ...] = (f"GRANT pg_use_reserved_connections TO {identifier(catalogue.user)};",)
    if not catalogue.number("reserved_connections"):
        evidence = "reserved_connections is 0"
        statements = (*statements, set_for_server("reserved_connections", 2))
    yield Hit("server", evidence, statements)


def _left_by_limits(facts: Facts, catalogue: Catalogue) -> bool:
    """Whether the limits of all other roles leave the slots that we need."""
    slots, limits = facts.sample.slots, [r.limit for r in catalogue.roles if _ordinary(r, catalogue)]
    return slots is not None and min(limits, default=0) >= 0 and sum(limits) <= slots.usable - _OURS


def no_slot_for_superusers(facts: Facts) -> Iterator[Hit]:
    """Nobody could get into a full server."""
    catalogue = facts.catalogue
    setting = catalogue.setting("superuser_reserved_connections") if catalogue else None
    if setting is not None and not setting.number:
        statements = (set_for_server("superuser_reserved_connections", 3),)
        yield Hit("server", "superuser_reserved_connections is 0", statements)


def role_limit_near(facts: Facts) -> Iterator[Hit]:
    """A role is about to be refused although there are slots."""
    for role in facts.catalogue.roles if facts.catalogue else ():
        if not role.superuser:  # it has no limit, whatever is written
            yield from _near(facts, role, f"role {role.name}", f"ALTER ROLE {identifier(role.name)}")


def database_limit_near(facts: Facts) -> Iterator[Hit]:
    """A database is about to refuse clients although there are slots."""
    for place in facts.catalogue.places if facts.catalogue else ():
        yield from _near(facts, place, f"database {place.name}", f"ALTER DATABASE {identifier(place.name)}")


def _near(facts: Facts, limited: Role | Place, subject: str, alter: str) -> Iterator[Hit]:
    if limited.limit <= 0 or limited.sessions < facts.yardstick.near * limited.limit:
        return
    # A limit is a person's decision: what is raised is as little as ends this.
    wanted = max(limited.limit + 1, ceil(limited.sessions * 1.5))
    reached = limited.sessions >= limited.limit
    evidence = f"{limited.sessions} of {count(limited.limit, 'session')} that CONNECTION LIMIT allows"
    statement = f"{alter} CONNECTION LIMIT {wanted};"
    yield Hit(subject, evidence, (statement,), Severity.PROBLEM if reached else None)


def restart_pending(facts: Facts) -> Iterator[Hit]:
    """A setting was changed and is not in force."""
    settings = facts.catalogue.settings if facts.catalogue else {}
    for name, setting in settings.items():
        if setting.pending:
            yield Hit(name, f"{setting.value} is in force; another value is configured", ())


def lost_clients_work_on(facts: Facts) -> Iterator[Hit]:
    """A statement goes on although nobody waits for it any more."""
    catalogue = facts.catalogue
    setting = catalogue.setting("client_connection_check_interval") if catalogue else None
    if setting is not None and not setting.own and not setting.number:
        statements = (set_for_server("client_connection_check_interval", "10s"), RELOAD)
        yield Hit("server", "client_connection_check_interval is 0", statements)


def superuser_clients(facts: Facts) -> Iterator[Hit]:
    """An application seems to log in as a superuser."""
    catalogue = facts.catalogue
    if catalogue is None:
        return
    superusers = [role for role in catalogue.roles if role.superuser]
    for role in superusers:
        if role.sessions >= facts.yardstick.superusers and role.name != catalogue.user:
            evidence = f"{count(role.sessions, 'session')} of a superuser"
            # The last one would take away everybody's way back.
            others = len(superusers) > 1
            statements = (f"ALTER ROLE {identifier(role.name)} NOSUPERUSER;",) if others else ()
            yield Hit(f"role {role.name}", evidence, statements)
