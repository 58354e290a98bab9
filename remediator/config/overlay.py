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

_KEYS = frozenset(Connect.model_fields)
_VARIABLE = re.compile(r"REMEDIATOR_(?:(\w+?)_)??CONNECT_(\w+)")
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
    variables = [match for name in env if (match := _VARIABLE.fullmatch(name))]
    # Those for all databases come first, so that those for one override them.
    for match in sorted(variables, key=lambda match: bool(match[1])):
        database_name, key = match[1], match[2].lower()
        if database_name and database_name not in names:
            hint = did_you_mean(database_name.lower(), (name.lower() for name in names))
            problems.add(Place(f"environment: {match[0]}"), "", f"no database is called so{hint}")
            continue
        if key not in _KEYS:
            text = (
                f"no such key in connect; one of {', '.join(Connect.model_fields)}{did_you_mean(key, _KEYS)}"
            )
            problems.add(Place(f"environment: {match[0]}"), "", text)
            continue
        for database in databases:
            if not database_name or database_name == _env_name(database):
                value = _variable(match[0], env[match[0]])
                connect = _connect(database, value)
                if connect is not None:
                    connect.put(key, value)


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
