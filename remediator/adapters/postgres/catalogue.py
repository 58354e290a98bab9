"""Reading what a server says of its settings, roles and databases."""

from __future__ import annotations

from datetime import timedelta

from remediator.adapters.postgres import queries
from remediator.adapters.postgres.database import PostgresDatabase
from remediator.core.audit.catalogue import Catalogue, Kept, Override, Place, Role, Setting


async def read_catalogue(database: PostgresDatabase, version: int, kept: timedelta) -> Catalogue:
    """Read it.

    Args:
        database: The server, which has been sampled.
        version: Its version, as `server_version_num`.
        kept: How old a session must be to count as kept.

    Raises:
        UnavailableError: The server did not answer in time.
    """
    privileges = await database.privileges()
    ((settings, roles, places, overrides, used, old),) = await database.connection.fetch(
        queries.CATALOGUE, {"kept": kept}
    )
    return Catalogue(
        user=privileges.user,
        version=version,
        reserved_slot=privileges.reserved_slot,
        settings={
            name: Setting(value, unit, own, pending) for name, value, unit, own, pending in sorted(settings)
        },
        roles=tuple(Role(*role) for role in roles),
        places=tuple(Place(*place) for place in places),
        overrides=tuple(Override(*override) for override in overrides),
        used=frozenset((role, place) for role, place in used),
        kept=tuple(Kept(*one) for one in old),
    )
