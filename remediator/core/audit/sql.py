"""Statements that a person can copy: names quoted, and written so that each can be seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from remediator.core.audit.sessions import Holding

RELOAD = "SELECT pg_reload_conf();"
_BMP = 0xFFFF
# A word, without a backslash, which not every server reads alike.
_LISTEN = "[[:<:]]listen[[:>:]]"


def identifier(name: str) -> str:
    """A name as SQL, quoted; what cannot be seen is escaped."""
    doubled = name.replace('"', '""')
    if name.isprintable():
        return f'"{doubled}"'
    return f'U&"{"".join(_shown(c, "", "+", 6) for c in doubled)}"'


def literal(text: str) -> str:
    """A text as SQL, quoted; what cannot be seen is escaped.

    It means the same whether or not the server takes backslashes for escapes in ordinary texts
    (`standard_conforming_strings`).
    """
    doubled = text.replace("'", "''")
    if text.isprintable() and "\\" not in text:
        return f"'{doubled}'"
    return f"E'{''.join(_shown(c, 'u', 'U', 8) for c in doubled)}'"


def _shown(character: str, short: str, long: str, width: int) -> str:
    """A character as it stands in a quoted text in which a backslash begins an escape."""
    number = ord(character)
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return f"\\{short}{number:04X}" if number <= _BMP else f"\\{long}{number:0{width}X}"


def set_for_role(role: str, setting: str, value: str) -> str:
    """Give a role a setting."""
    return f"ALTER ROLE {identifier(role)} SET {setting} = {literal(value)};"


def set_for_server(setting: str, value: str | int) -> str:
    """Give the server a setting."""
    return f"ALTER SYSTEM SET {setting} = {value if isinstance(value, int) else literal(value)};"


def terminate(held: Holding, age: timedelta, *, in_transaction: bool = False, unused: bool = False) -> str:
    """End such sessions where they are idle for at least `age`.

    Holders of advisory locks are left alone, and those that listen, unless they are in a transaction.

    Args:
        held: Whose sessions.
        age: For how long they must have been idle.
        in_transaction: They are idle in a transaction.
        unused: No statement was ever run in them.
    """
    if in_transaction:
        return _terminate(held, "state LIKE 'idle in transaction%'", age, _addresses(held))
    query = "query_start IS NULL" if unused else f"query !~* {literal(_LISTEN)}"
    return _terminate(held, "state = 'idle'", age, _addresses(held), query)


def terminate_orphans(held: Holding, address: str, before: datetime) -> str:
    """End sessions of a container that is gone, and none of whoever has its address by now, or will have.

    Args:
        held: Whose sessions.
        address: The address that the container had.
        before: Nobody else had it then.
    """
    began = f"backend_start < {literal(before.astimezone(UTC).isoformat(sep=' '))}"
    return _terminate(held, "state = 'idle'", timedelta(0), f"client_addr = {literal(address)}", began)


def _addresses(held: Holding) -> str:
    """Where they come from, and nowhere else: another owner's may have the same role and name."""
    known = ", ".join(literal(address) for address in held.addresses)
    there = [f"client_addr IN ({known})"] if known else []
    if held.local:
        there.append("client_addr IS NULL")
    return there[0] if len(there) == 1 else f"({' OR '.join(there)})"


def _terminate(held: Holding, state: str, age: timedelta, *conditions: str) -> str:
    where = " AND ".join(
        (
            "backend_type = 'client backend'",
            state,
            f"usename = {literal(held.user)}",
            f"application_name = {literal(held.application)}",
            *conditions,
            f"state_change <= clock_timestamp() - interval '{age.total_seconds():g} seconds'",
            "pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
        )
    )
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where};"  # noqa: S608  quoted above
