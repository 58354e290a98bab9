"""What a server that does not let us in means, in words a person can act on: which, why, what to do."""

from __future__ import annotations

import os
from collections.abc import Mapping

_ROLE_LIMIT = "53300"
_REMEDIES = {
    "28000": "check the role and the server's pg_hba.conf",
    "3D000": "check the database's name in the dsn",
    "42501": "grant the role CONNECT on the database",
    _ROLE_LIMIT: "raise the role's CONNECTION LIMIT",
}
_PASSWORD = "28P01"  # noqa: S105  a code
_OTHER = "check the role, the database's name and the server's pg_hba.conf"
NONE_GIVEN = "it asks for a password and none is given: password_file names the file that holds it"


def host_of(params: Mapping[str, str]) -> str:
    """The host that these libpq keywords, or libpq's environment, name; empty for the local socket."""
    return params.get("host") or os.environ.get("PGHOST", "")


def place_of(params: Mapping[str, str]) -> str:
    """Where a connection by these libpq keywords leads to, for a person."""
    if service := params.get("service") or os.environ.get("PGSERVICE"):
        return f"the server of the service {service}"
    address = params.get("hostaddr") or os.environ.get("PGHOSTADDR")
    port = params.get("port") or os.environ.get("PGPORT") or "5432"
    return f"{host_of(params) or address or 'the local socket'}:{port}"


def refusal(sqlstate: str | None, said: str, params: Mapping[str, str], password_from: str) -> str:
    """Say which server refused us, why and what to do.

    Args:
        sqlstate: The server's code.
        said: The server's words.
        params: libpq keywords; of the password only that there is one is told.
        password_from: Where it is from, for a person; empty when nobody said.
    """
    remedy = _REMEDIES.get(sqlstate or "", _OTHER)
    if sqlstate == _PASSWORD:
        origin = password_from or ("the config" if "password" in params else "libpq's own files")
        remedy = f"check the password, which is from {origin}, the role and the server's pg_hba.conf"
    return f"{place_of(params)} refuses us: {said}; {remedy}"
