"""What the environment adds to the file, and what a DSN says in the words of `connect` and `password`.

Both change the tree as it was written, before it is validated, so that a mistake points at where it comes
from: an environment variable overrides the file, the file overrides the DSN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Variables

from remediator.config import dsn as connection_string
from remediator.config.problems import Place, Problems, did_you_mean
from remediator.config.targets import Connect, Database
from remediator.config.tree import Mapping, Node, Scalar, Sequence, sweep

_KEYS = tuple(Connect.model_fields)
_VARIABLE = re.compile(r"REMEDIATOR_(?:\w+_)?CONNECT_\w+")
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGPORT", "PGDATABASE", "PGUSER")


def apply(root: Mapping, env: Variables[str, str], problems: Problems) -> None:
    """Add to the tree what the environment and the DSNs say.

    Args:
        root: The file's tree; changed in place.
        env: The environment.
        problems: Where mistakes in variables and DSNs are noted.
    """
    databases = _databases(root)
    for database in databases:
        _complete_dsn(database, env, problems)
        _split_dsn(database, problems)
        _password_variable(database, env)
    _connect_variables(databases, env, problems)
    for database in databases:
        variable = f"REMEDIATOR_{_env_name(database)}_PASSWORD_FILE"
        if variable in env:
            for key in ("password", "password_file"):
                database.entries.pop(key, None)
            database.put("password_file", _variable(variable, env[variable]))
    _require_one_environment(databases, problems)
    sweep(root)


def _databases(root: Mapping) -> list[Mapping]:
    node = root.entries.get("databases")
    if node is None and "databases" not in root.lost:
        node = Sequence(root.place, "databases", [Mapping(root.place, "databases[0]")])
        root.put("databases", node)
    items = node.items if isinstance(node, Sequence) else []
    return [item for item in items if isinstance(item, Mapping)]


def _variable(name: str, value: str) -> Scalar:
    return Scalar(Place(f"environment: {name}"), "", value, foreign=True)


def env_name(database: str) -> str:
    """A database's name as it stands in the names of environment variables."""
    return re.sub(r"[^A-Za-z0-9]", "_", database).upper()


def _env_name(database: Mapping) -> str:
    name = database.entries.get("name")
    return env_name(name.text if isinstance(name, Scalar) else str(Database.model_fields["name"].default))


def _complete_dsn(database: Mapping, env: Variables[str, str], problems: Problems) -> None:
    """Without a DSN of its own, a database is found by DATABASE_URL or by what libpq itself reads."""
    written = database.entries.get("dsn")
    if "dsn" in database.lost or (written is not None and not _is_blank(written)):
        return
    database.entries.pop("dsn", None)
    if env.get("DATABASE_URL"):
        database.put("dsn", _variable("DATABASE_URL", env["DATABASE_URL"]))
        return
    if not any(env.get(name) for name in _LIBPQ):
        problems.add(
            written.place if written else database.place,
            f"{database.where}.dsn",
            "is missing; write dsn: postgresql://user@host:5432/database, or set DATABASE_URL or PGHOST",
        )


def _is_blank(node: Node) -> bool:
    return isinstance(node, Scalar) and not node.text.strip()


def _split_dsn(database: Mapping, problems: Problems) -> None:
    node = database.entries.get("dsn")
    if not isinstance(node, Scalar):
        return
    try:
        parts = connection_string.parse(node.text)
    except ValueError as error:
        problems.add(node.place, node.where, str(error))
        node.dead = True
        return
    node.text = parts.text
    if parts.password:
        if {"password", "password_file"} & database.entries.keys():
            problems.add(
                node.place, node.where, "has a password in it although one is given besides; keep one"
            )
        else:
            database.put("password", Scalar(node.place, node.where, parts.password, node.foreign))
    if parts.connect and "connect" not in database.lost:
        connect = _connect(database, node)
        for key, value in parts.connect.items():
            if connect is not None and key not in connect.entries:
                connect.put(key, Scalar(node.place, node.where, value, foreign=True))


def _password_variable(database: Mapping, env: Variables[str, str]) -> None:
    """Libpq would use PGPASSWORD by itself; taking it in makes it known as a secret."""
    known = {"password", "password_file"} & (database.entries.keys() | database.lost)
    if env.get("PGPASSWORD") and not known:
        database.put("password", _variable("PGPASSWORD", env["PGPASSWORD"]))


def _connect(database: Mapping, origin: Node) -> Mapping | None:
    """The database's `connect`, made when it is not there; None when it is no mapping."""
    connect = database.entries.get("connect")
    if connect is None:
        connect = Mapping(origin.place, f"{database.where}.connect")
        database.put("connect", connect)
    return connect if isinstance(connect, Mapping) else None


def _connect_variables(databases: list[Mapping], env: Variables[str, str], problems: Problems) -> None:
    names = {_env_name(database) for database in databases}
    targets = [(variable, *_target(variable, names)) for variable in env if _VARIABLE.fullmatch(variable)]
    # Those for all databases come first, so that those for one override them.
    for variable, name, key in sorted(targets, key=lambda target: target[1] is not None):
        fault = _fault(name, key, names)
        if fault:
            problems.add(_variable(variable, "").place, "", fault)
            continue
        for database in databases:
            value = _variable(variable, env[variable])
            connect = _connect(database, value) if name in (None, _env_name(database)) else None
            if connect is not None:
                connect.put(key, value)


def _target(variable: str, names: set[str]) -> tuple[str | None, str]:
    """The database that a variable is for, None for all of them, and the key of `connect`."""
    for name in names:
        prefix = f"REMEDIATOR_{name}_CONNECT_"
        if variable.startswith(prefix):
            return name, variable.removeprefix(prefix).lower()
    name, _, key = variable.removeprefix("REMEDIATOR_").rpartition("CONNECT_")
    return name.rstrip("_") or None, key.lower()


def _fault(name: str | None, key: str, names: set[str]) -> str:
    if name is not None and name not in names:
        hint = did_you_mean(name.lower(), sorted(known.lower() for known in names))
        return f"no database is called so{hint}"
    if key not in _KEYS:
        return f"no such key in connect; one of {', '.join(_KEYS)}{did_you_mean(key, _KEYS)}"
    return ""


def _require_one_environment(databases: list[Mapping], problems: Problems) -> None:
    """Two databases that the environment alone describes are one and the same."""
    bare = [
        database
        for database in databases
        if "dsn" not in database.lost
        and (not (node := database.entries.get("dsn")) or node.place.source.startswith("environment: "))
    ]
    for database in bare[1:]:
        where = f"{database.where}.dsn"
        problems.add(database.place, where, "is missing; only one database can come from the environment")
