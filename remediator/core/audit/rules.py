"""The table of what an audit looks for."""

from __future__ import annotations

from remediator.core.audit import client_rules as clients
from remediator.core.audit import server_rules as server
from remediator.core.audit.finding import Rule, Severity

NOTE, WARNING, PROBLEM = Severity.NOTE, Severity.WARNING, Severity.PROBLEM

_NOW = (
    Rule(
        "unreadable",
        PROBLEM,
        "The server cannot be read",
        "Nothing else can be told of it.",
        "`remediator doctor` says what is missing.",
        clients.unreadable,
    ),
    Rule(
        "level_raised",
        WARNING,
        "The server is above a level's threshold",
        "Above alert there is little room left; beyond critical clients are refused, or soon will be.",
        "`remediator plan` says what would be done. In enforce mode the daemon does it.",
        clients.level_raised,
    ),
    Rule(
        "was_nearly_full",
        WARNING,
        "The slots nearly ran out in the last week",
        "What happened once comes again, and an audit at a quiet hour does not show it.",
        "`remediator history` and the status page tell how it went; look at who had the sessions then.",
        clients.was_nearly_full,
    ),
    Rule(
        "budget_exceeds_slots",
        WARNING,
        "Services are meant to have more connections than there are slots",
        "The server fills up as soon as all services are busy at once: after a deploy, in a sale.",
        "Fewer processes or smaller pools, or a pooler in front. Else more slots: the statement, a "
        "restart of the server, and the memory that the report estimates.",
        clients.budget_exceeds_slots,
    ),
    Rule(
        "over_budget",
        WARNING,
        "A service has more sessions than it is meant to have",
        "It leaks, or it runs with more processes than the config says. Either way the budget is wrong.",
        "Look at its sessions; correct `services[].connections`, or mend the leak.",
        clients.over_budget,
    ),
    Rule(
        "role_limit_near",
        WARNING,
        "A role is near its connection limit",
        "Its clients are refused with the same error as on a full server (53300), while others get in.",
        "Find out who holds them first. Raise the limit only if they are needed.",
        server.role_limit_near,
    ),
    Rule(
        "database_limit_near",
        WARNING,
        "A database is near its connection limit",
        "Its clients are refused with the same error as on a full server (53300), while others get in.",
        "Find out who holds them first. Raise the limit only if they are needed.",
        server.database_limit_near,
    ),
)

_SESSIONS = (
    Rule(
        "leaked_sessions",
        WARNING,
        "Sessions have been idle for long",
        "Each of them takes a slot from somebody who would use it. It is a leak, or a pool at rest: a later "
        "audit shows whether they become more.",
        "The statement ends those that have been idle for as long as the policy waits before it terminates, "
        "and as `connections.max_age` says, whichever is longer. Is it a pool at rest, say so in "
        "`services[].connections`. A leak is mended by closing connections after use "
        "(`close_old_connections()` outside of requests), a lifetime in the pool (`CONN_MAX_AGE`, "
        "`pool_recycle`), and no connection held by a thread that has nothing to do.",
        clients.leaked_sessions,
    ),
    Rule(
        "idle_in_transaction",
        WARNING,
        "Sessions are idle in a transaction",
        "They hold locks and keep VACUUM from cleaning up, and remediator never terminates them: work "
        "may be lost.",
        "The first statement sets a limit for new sessions of the role, the second one ends those that "
        "have been so for as long as the policy waits before it terminates an idle one. For good: commit "
        "before waiting for anything else, such as a request to another service.",
        clients.idle_in_transaction,
    ),
    Rule(
        "idle_beyond_max_age",
        WARNING,
        "A service keeps connections for longer than it says",
        "Django looks at CONN_MAX_AGE at the start and the end of a request only: threads that serve "
        "none, tasks and ASGI keep connections for ever. Every deploy and every peak adds some.",
        "The statement ends those that have been idle for as long as the policy waits before it terminates, "
        "too. For good: `close_old_connections()` where no request ends, CONN_MAX_AGE=0 under ASGI, or a "
        "pool that closes what it does not need.",
        clients.idle_beyond_max_age,
    ),
    Rule(
        "never_used",
        WARNING,
        "Sessions were opened and never used",
        "Typical of a process that connects before it forks, so that its children inherit what none of "
        "them uses, and of pools that are larger than the work.",
        "Connect after the fork: `engine.dispose(close=False)` or `connections.close_all()` in Celery's "
        "`worker_process_init` and Gunicorn's `post_fork`; a smaller `min_size`.",
        clients.never_used,
    ),
    Rule(
        "no_sign_of_health_checks",
        NOTE,
        "A service keeps connections, and nothing shows that it tests them",
        "After a session is ended, by us, a timeout or a restart of the server, the next statement on "
        "that connection fails; without tests some pools hand it out again and again. Tests before use, "
        "as Django and SQLAlchemy make them, cannot be seen in the server.",
        "`CONN_HEALTH_CHECKS = True`, `pool_pre_ping=True`, `check=ConnectionPool.check_connection`; "
        "then say so: `connections: {checked: true}`.",
        clients.no_sign_of_health_checks,
    ),
    Rule(
        "orphans",
        WARNING,
        "Sessions are left of containers that are gone",
        "Nobody can use them any more. Without keepalives the server notices that after hours.",
        "The statement ends them now; keepalives in the server end them next time.",
        clients.orphans,
    ),
    Rule(
        "tool_idle",
        WARNING,
        "A desktop tool has been idle for days",
        "pgAdmin and its kin keep several sessions open for as long as the window is, over weekends too.",
        "The statement ends them now. For good: an `idle_session_timeout` for the roles that people log "
        "in with.",
        clients.tool_idle,
    ),
    Rule(
        "churn",
        WARNING,
        "Sessions come and go all the time",
        "Each new one costs a process and a login. Typical of CONN_MAX_AGE=0 with many requests, and of "
        "tools that connect for every query; a pause of the server then becomes a herd.",
        "Keep connections for a minute (`CONN_MAX_AGE = 60` with `CONN_HEALTH_CHECKS = True`), use a "
        "pool, or a pooler such as PgBouncer.",
        clients.churn,
    ),
    Rule(
        "unattributed",
        NOTE,
        "Many sessions have no known owner",
        "Who leaks cannot be told from who does not, so that the right service cannot be restarted alone.",
        "Say what they look like: `services[].sessions` and `clients` in the config; let each program "
        "set its `application_name`.",
        clients.unattributed,
    ),
)

_SERVER = (
    Rule(
        "keepalives_off",
        WARNING,
        "The server does not look after silent clients",
        "A client whose machine or container is gone without a word keeps its slot for two hours and more.",
        "The statements find such clients within two minutes. They hold for sessions that are there, too.",
        server.keepalives_off,
    ),
    Rule(
        "keepalives_late",
        NOTE,
        "The server finds lost clients later than services renew their connections",
        "Each renewal after a cut leaves one more session behind, until the server notices.",
        "The statements make it notice within the shortest `connections.max_age`.",
        server.keepalives_late,
    ),
    Rule(
        "no_idle_in_transaction_timeout",
        WARNING,
        "Nothing ends a forgotten transaction",
        "It holds locks and keeps VACUUM from cleaning up for as long as its program lives.",
        "The statements hold for new sessions. Give a role that needs longer a value of its own; 0 "
        "counts as decided.",
        server.no_idle_in_transaction_timeout,
    ),
    Rule(
        "no_idle_session_timeout",
        NOTE,
        "Nothing in the server ends an idle session",
        "It is the server's own remedy for leaks, and races with nothing. But a pool that does not check"
        " its connections gives the ended ones to its users.",
        "The statements hold for new sessions. Use them for roles whose clients reconnect by themselves,"
        " or are people.",
        server.no_idle_session_timeout,
    ),
    Rule(
        "no_statement_timeout",
        NOTE,
        "Nothing ends a statement that does not return",
        "Requests pile up behind it, each with a connection, until the slots are used up.",
        "The statements hold for new sessions. Give roles of reports, migrations and backups a longer "
        "one, or 0.",
        server.no_statement_timeout,
    ),
    Rule(
        "lost_clients_work_on",
        NOTE,
        "A statement goes on after its client is gone",
        "A request that timed out leaves its statement behind, and the slot with it.",
        "The statements make the server look whether the client is there while a statement runs "
        "(PostgreSQL 14).",
        server.lost_clients_work_on,
    ),
    Rule(
        "no_reserved_slot",
        WARNING,
        "No slot is kept for remediator",
        "After a restart of its own a full server would not let it in: it could restart services, but "
        "neither see nor end sessions.",
        "The statements keep one; reserved_connections takes a restart of the server. Before PostgreSQL 16 "
        "none can be kept: the limits of the other roles can leave one.",
        server.no_reserved_slot,
    ),
    Rule(
        "no_slot_for_superusers",
        WARNING,
        "No slot is kept for superusers",
        "When the server is full nobody can look into it.",
        "The statement, and a restart of the server.",
        server.no_slot_for_superusers,
    ),
    Rule(
        "superuser_clients",
        WARNING,
        "A superuser has many sessions",
        "It looks like an application. It takes the slots that are kept for people, no limit holds for "
        "it, and remediator never terminates it.",
        "A role of its own for the application; or the statement, once that role has what it needs.",
        server.superuser_clients,
    ),
    Rule(
        "restart_pending",
        WARNING,
        "A setting waits for a restart of the server",
        "What was meant to help, more slots for example, is not in force.",
        "Restart the server when it suits.",
        server.restart_pending,
    ),
    Rule(
        "short_stop_grace",
        WARNING,
        "A container has little time to stop",
        "A Celery worker that is killed loses its tasks, unless they are acknowledged late; every "
        "restart, ours and that of a deploy, does it.",
        "`stop_grace_period` in the Compose file: longer than the longest task.",
        clients.short_stop_grace,
    ),
)

RULES: tuple[Rule, ...] = (*_NOW, *_SESSIONS, *_SERVER)
"""Everything an audit looks for."""
