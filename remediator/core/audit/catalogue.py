"""What a server says of its settings, roles and databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Seconds, bytes, and numbers without a unit.
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "B": 1.0, "kB": 1024.0, "8kB": 8192.0, "MB": 1024.0**2}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as sessions get it.

    Attributes:
        value: As the server keeps it, in its unit.
        unit: The server's word for it, empty for none.
        own: Our role or database has a value of its own, so that this is not the server's.
        pending: Another value is configured and waits for a restart.
    """

    value: str
    unit: str = ""
    own: bool = False
    pending: bool = False

    @property
    def number(self) -> float:
        """The value in seconds, bytes or simply as a number."""
        return float(self.value) * _UNITS.get(self.unit, 1.0)


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the server.

    Attributes:
        limit: Its CONNECTION LIMIT, negative for none.
        sessions: Those it has now.
    """

    name: str
    login: bool = True
    superuser: bool = False
    limit: int = -1
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """One of the server's databases, in the sense of CREATE DATABASE.

    Attributes:
        limit: Its CONNECTION LIMIT, negative for none.
        sessions: Those in it now.
    """

    name: str
    limit: int = -1
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """A setting that was given to a role, a database, or a role in a database; None stands for all."""

    role: str | None
    place: str | None
    setting: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Sessions of one role and application that are older than a request.

    Attributes:
        pinged: Those whose last statement is one that only tests the connection.
    """

    user: str
    application: str
    sessions: int
    pinged: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a server says of itself.

    Attributes:
        user: Our role.
        version: As `server_version_num`.
        reserved_slot: A slot is kept for our role when ordinary ones have run out.
        settings: Those that an audit is about; a server has not all of them.
        places: Its databases that can be connected to, templates left out.
        used: Which roles have sessions in which databases.
    """

    user: str
    version: int
    reserved_slot: bool
    settings: Mapping[str, Setting]
    roles: tuple[Role, ...] = ()
    places: tuple[Place, ...] = ()
    overrides: tuple[Override, ...] = ()
    used: frozenset[tuple[str, str]] = frozenset()
    kept: tuple[Kept, ...] = ()

    def setting(self, name: str) -> Setting | None:
        """A setting, None where the server does not know it."""
        return self.settings.get(name)

    def number(self, name: str) -> float:
        """A setting's number, 0 where the server does not know it."""
        found = self.settings.get(name)
        return 0.0 if found is None else found.number

    def undecided(self, setting: str) -> tuple[Role, ...]:
        """The roles to which nobody gave a value of this setting in every database that they use.

        A role that is not connected anywhere may use each database.
        """
        given: dict[str | None, set[str | None]] = {}
        for override in self.overrides:
            if override.setting == setting:
                given.setdefault(override.role, set()).add(override.place)
        uses: dict[str, set[str | None]] = {}
        for user, place in self.used:
            uses.setdefault(user, set()).add(place)
        everyone, everywhere = given.get(None, set()), {place.name for place in self.places}
        return tuple(
            role
            for role in self.roles
            if not _covered(uses.get(role.name, everywhere), given.get(role.name, set()) | everyone)
        )


def _covered(uses: set[str | None] | set[str], told: set[str | None]) -> bool:
    return None in told or (bool(uses) and uses <= told)
