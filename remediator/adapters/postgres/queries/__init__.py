"""The SQL of this package, one statement per file; the comment on top of each says what it does."""

from __future__ import annotations

from importlib.resources import files
from typing import LiteralString

_PACKAGE = files(__name__)


def _read(name: str) -> LiteralString:
    # Shipped with the package and never built from input, which is what LiteralString stands for.
    return (_PACKAGE / name).read_text()


GROUND = _read("ground.sql")
SAMPLE = _read("sample.sql")
IDENTITY = _read("identity.sql")
WHEREABOUTS = _read("whereabouts.sql")
SESSIONS = _read("sessions.sql")
TERMINATE = _read("terminate.sql")
ALIVE = _read("alive.sql")
SETTINGS = _read("settings.sql")
PRIVILEGES = _read("privileges.sql")
CLAIM = _read("claim.sql")
CLAIMED = _read("claimed.sql")
HOLDER = _read("holder.sql")
RECLAIM = _read("reclaim.sql")
CATALOGUE = _read("catalogue.sql")
