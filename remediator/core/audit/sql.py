"""Statements that a person can copy: names quoted, and written so that each can be seen."""

from __future__ import annotations

from datetime import timedelta

from remediator.core.audit.sessions import Holding

RELOAD = "SELECT pg_reload_conf();"
_BMP = 0xFFFF


def identifier(name: str) -> str:
    """A name as SQL, quoted; what cannot be seen is escaped."""
    return _quoted(name, '"')


def literal(text: str) -> str:
    """A text as SQL, quoted; what cannot be seen is escaped."""
    return _quoted(text, "'")


def _quoted(text: str, mark: str) -> str:
    doubled = text.replace(mark, mark * 2)
    if text.isprintable():
        return f"{mark}{doubled}{mark}"
    escaped = "".join(c if c.isprintable() and c != "\\" else _escaped(c) for c in doubled)
    return f"U&{mark}{escaped}{mark}"


def _escaped(character: str) -> str:
    number = ord(character)
    if character == "\\":
        return "\\\\"
    return f"\\{number:04X}" if number <= _BMP else f"\\+{number:06X}"


def set_for_role(role: str, setting: str, value: str) -> str:
    """Give a role a setting."""
    return f"ALTER ROLE {identifier(role)} SET {setting} = {literal(value)};"


def set_for_server(setting: str, value: str | int) -> str:
    """Give the server a setting."""
    return f"ALTER SYSTEM SET {setting} = {value if isinstance(value, int) else literal(value)};"


def terminate(held: Holding, age: timedelta, *, in_transaction: bool = False) -> str:
    """End such sessions where they are idle for at least `age`; holders of advisory locks are left alone."""
    state = "state LIKE 'idle in transaction%'" if in_transaction else "state = 'idle'"
    conditions = [
        "backend_type = 'client backend'",
        state,
        f"usename = {literal(held.user)}",
        f"application_name = {literal(held.application)}",
        f"state_change <= clock_timestamp() - interval '{age.total_seconds():g} seconds'",
        "pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
    ]
    if held.addresses:
        addresses = ", ".join(literal(address) for address in held.addresses)
        conditions.insert(4, f"client_addr IN ({addresses})")
    where = " AND ".join(conditions)
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where};"  # noqa: S608  quoted above
