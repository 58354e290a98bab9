"""Taking a libpq connection string apart: the password out, and what `connect` decides out.

What libpq would read as something else than was meant is refused, because libpq's own message would
repeat it.
No message of this module repeats any part of the string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

KEYWORDS = frozenset(
    [
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "passfile",
        "require_auth",
        "channel_binding",
        "connect_timeout",
        "client_encoding",
        "options",
        "application_name",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "gssencmode",
        "sslmode",
        "sslnegotiation",
        "requiressl",
        "sslcompression",
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslcertmode",
        "sslrootcert",
        "sslcrl",
        "sslcrldir",
        "sslsni",
        "requirepeer",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "krbsrvname",
        "gsslib",
        "gssdelegation",
        "min_protocol_version",
        "max_protocol_version",
        "service",
        "target_session_attrs",
        "load_balance_hosts",
    ]
)
"""libpq's parameters, without those that make no ordinary session."""

_CONNECT = {
    "connect_timeout": ("timeout", "s"),
    "keepalives_idle": ("keepalives_idle", "s"),
    "keepalives_interval": ("keepalives_interval", "s"),
    "keepalives_count": ("keepalives_count", ""),
    "tcp_user_timeout": ("tcp_user_timeout", "ms"),
    "application_name": ("application_name", ""),
}
_SCHEME = re.compile(r"(?:postgres(?:ql)?|postgis|pgsql|psql)(?:\+[a-z0-9_]+)?://", re.IGNORECASE)
_URL = re.compile(
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:@,#\s]*)(?::[0-9]{0,5})?")
_HOST_AND_WORD = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:@,#\s]*)(?::[^\[\]:@,#\s]*)?")
_PAIR = re.compile(
    r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|)(?:\s+|$)", re.DOTALL
)
_PLACE = re.compile(r"^(\[[^\]]*\]|[^:]*)(?::(.*))?$")
_PREFIX = "postgresql://"
_PORT = "5432"
_ENCODE = "percent-encode the characters @ : / ? # % and space in user, password and database"
_BAD_PORT = "has a port that is not a number; postgresql://user@host:5432/database is the form"
_FORMS = "postgresql://user@host:5432/database or 'host=... dbname=... user=...' is allowed"


@dataclass(frozen=True, slots=True)
class Dsn:
    """A connection string taken apart.

    Attributes:
        text: The string without the password and without `connect`.
        password: What it had as password.
        connect: What it said about keys of `connect`, as the configuration file would write it.
    """

    text: str
    password: str | None = field(repr=False)
    connect: Mapping[str, str]


def parse(text: str) -> Dsn:
    """Take a libpq URL, also in the forms that Django and SQLAlchemy use, or keyword string apart.

    Raises:
        ValueError: It is neither, or libpq would read it as something else than it seems to say.
    """
    scheme = _SCHEME.match(text)
    if scheme:
        return _url(text[scheme.end() :])
    if "://" in text.partition("=")[0]:
        raise ValueError(f"is not a URL of PostgreSQL; {_FORMS}")
    return _keywords(text)


def places(text: str) -> frozenset[tuple[str, str]]:
    """Tell where a server is looked for, as far as a connection string itself says.

    Args:
        text: What `parse` left of one; empty when the environment decides.

    Returns:
        Hosts, each with its port; a host is empty where none is named. Nothing where a service file decides.
    """
    match = _URL.fullmatch(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else None
    if match:
        pairs = _query(match["query"]) if match["query"] else {}
        listed = [_PLACE.findall(host)[0] for host in match["hosts"].split(",")]
    else:
        pairs, listed = {key: value.strip("'") for key, value in _PAIR.findall(text)}, [("", "")]
    if "service" in pairs:
        return frozenset()
    hosts = (pairs.get("hostaddr") or pairs.get("host") or ",".join(host for host, _ in listed)).split(",")
    ports = (pairs.get("port") or ",".join(port for _, port in listed)).split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return frozenset((host.lower(), port or _PORT) for host, port in zip(hosts, ports, strict=True))


def _url(rest: str) -> Dsn:
    match = _URL.fullmatch(rest)
    if not match or re.search(r"%(?![0-9A-Fa-f]{2})|%00|\s", rest):
        raise ValueError(f"is not a valid URL; {_ENCODE}")
    user, password, hosts, database, query = match.group("user", "password", "hosts", "database", "query")
    clean = not re.search("[/@:#]", database or "")
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")) or not clean:
        # With an @ further on, what looks like a port is a password that has a slash in it.
        if clean and all(_HOST_AND_WORD.fullmatch(host) for host in hosts.split(",")):
            raise ValueError(_BAD_PORT)
        raise ValueError(f"is not a valid URL; {_ENCODE}")
    pairs = _query(query) if query else {}
    if password and "password" in pairs:
        raise ValueError("has two passwords; one is allowed")
    passwords = (_decoded(password) if password else None, pairs.pop("password", None))
    connect = _take_connect(pairs)
    kept = "&".join(f"{key}={quote(value, safe='')}" for key, value in pairs.items())
    text = "".join(
        (
            _PREFIX,
            f"{user}@" if user else "",
            hosts,
            f"/{database}" if database else "",
            f"?{kept}" if kept else "",
        )
    )
    return Dsn(text, passwords[0] or passwords[1], connect)


def _query(query: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        key = _decoded(key)
        if not equals or key not in KEYWORDS | {"ssl"}:
            raise ValueError(f"has a parameter that libpq does not know; {_ENCODE}")
        _put(pairs, key, _decoded(value))
    return pairs


def _keywords(text: str) -> Dsn:
    pairs: dict[str, str] = {}
    end = 0
    while end < len(text.rstrip()):
        match = _PAIR.match(text, end)
        if not match:
            raise ValueError(f"is neither a URL nor keyword=value pairs; {_FORMS}")
        key, value = match.groups()
        if key not in KEYWORDS:
            raise ValueError(
                "has a keyword that libpq does not know; quote values with spaces: keyword='a b'"
            )
        value = value[1:-1] if value.startswith("'") else value
        _put(pairs, key, re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL))
        end = match.end()
    password = pairs.pop("password", None)
    connect = _take_connect(pairs)
    return Dsn(" ".join(f"{key}={_quoted(value)}" for key, value in pairs.items()), password, connect)


def _put(pairs: dict[str, str], key: str, value: str) -> None:
    if key in pairs:
        raise ValueError("has a parameter twice; each is allowed once")
    if key == "sslpassword":
        raise ValueError("has sslpassword in it; protect the key file by its owner and mode instead")
    if key == "dbname" and re.search("://|=", value):
        raise ValueError("has a connection string as its dbname; write only the database's name there")
    pairs[key] = value


def _take_connect(pairs: dict[str, str]) -> dict[str, str]:
    taken = {}
    for keyword, (key, unit) in _CONNECT.items():
        if keyword in pairs:
            taken[key] = pairs.pop(keyword) + unit
    return taken


def _quoted(value: str) -> str:
    if re.fullmatch(r"[^\s'\\]+", value):
        return value
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has percent-encoded bytes that are not UTF-8") from None
