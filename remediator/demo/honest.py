"""Sessions that look wasteful and are not: each must survive, for a reason of its own.

`python -m remediator.demo.honest DSN` opens them, prints `ready`, and holds them until killed.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass

from remediator.core.plan import Objection
from remediator.demo.sessions import begin_query, open_session

_LONG = "select pg_sleep(3600)"


@dataclass(frozen=True, slots=True)
class Honest:
    """One such session.

    Attributes:
        application: Its application_name.
        spared_for: The rule that protects it.
    """

    application: str
    spared_for: Objection


MONTH_END = Honest("month_end", Objection.IN_TRANSACTION)
MIGRATION = Honest("migration", Objection.ADVISORY_LOCK)
NOTIFIER = Honest("notifier", Objection.LISTENING)
ANALYTICS = Honest("analytics", Objection.ACTIVE)
ALL = (MONTH_END, MIGRATION, NOTIFIER, ANALYTICS)


def main() -> None:
    """Open the sessions and hold them."""
    dsn = sys.argv[1]
    held = [
        open_session(dsn, MONTH_END.application, "begin"),
        open_session(dsn, MIGRATION.application, "select pg_advisory_lock(42)"),
        open_session(dsn, NOTIFIER.application, "listen orders"),
    ]
    analytics = open_session(dsn, ANALYTICS.application)
    if analytics is None or None in held:
        sys.exit("the server refused a session")
    begin_query(analytics, _LONG)
    print("ready", flush=True)  # noqa: T201  the parent waits for it
    signal.pause()


if __name__ == "__main__":
    main()
