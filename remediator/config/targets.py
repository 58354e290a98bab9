"""Schema of what is watched and what may be restarted."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import ConfigDict

from remediator.config.scalars import BOOLEAN, NETWORK, duration, secret, text, whole
from remediator.config.section import (
    MINUTE,
    SECOND,
    Count,
    Deadline,
    Duration,
    Keepalive,
    Name,
    Pause,
    Section,
    Text,
    Words,
)


class Docker(Section):
    """The Docker Engine that runs the services."""

    host: Annotated[
        str,
        text(
            r"(?:unix:///|tcp://|https?://)[^@\s]+",
            "is not an address of Docker; unix:///path, tcp://host:port or http(s)://host:port is allowed",
        ),
    ] = "unix:///var/run/docker.sock"
    """Where the Docker Engine answers; a socket proxy is safer than the socket itself."""


class Connect(Section):
    """How to connect, and when to give up. The environment overrides each of these.

    `REMEDIATOR_CONNECT_<KEY>` does so for all databases, `REMEDIATOR_<DATABASE>_CONNECT_<KEY>` for one.
    """

    timeout: Deadline = 5 * SECOND
    """How long establishing a connection may take."""
    query_timeout: Deadline = 5 * SECOND
    """How long one query may take, counted on our side."""
    probe_every: Pause = 15 * SECOND
    """How often to try a fresh connection as a client would; `0s` is never."""
    keepalives_idle: Keepalive = 10 * SECOND
    """Silence after which TCP asks whether the server is still there."""
    keepalives_interval: Keepalive = 5 * SECOND
    """Time between two such questions."""
    keepalives_count: Annotated[int, whole(1, 127)] = 3
    """Unanswered questions after which the connection counts as dead."""
    tcp_user_timeout: Annotated[timedelta, duration(timedelta(0), timedelta(hours=1))] = 15 * SECOND
    """How long sent data may stay unacknowledged; `0s` leaves it to the operating system."""
    application_name: Annotated[str, text(r"[ -~]{1,63}", "must be 1 to 63 printable ASCII characters")] = (
        "remediator"
    )
    """What our own sessions are called on the server."""


class Database(Section):
    """One PostgreSQL server."""

    name: Name = "default"
    """What the database is called in logs, records and commands."""
    dsn: Annotated[str | None, secret()] = None
    """How to reach it: a URL or `keyword=value` pairs. Without it, `DATABASE_URL` or `PG*` decide."""
    password: Annotated[str | None, secret()] = None
    """The password; better kept in a file or a variable than written here."""
    password_file: Annotated[str | None, secret()] = None
    """File with the password; a bare name is looked for in `$CREDENTIALS_DIRECTORY`, there also as
    `remediator_NAME`, which is what the systemd unit makes of it. Overridden by
    `REMEDIATOR_<DATABASE>_PASSWORD_FILE`."""
    connect: Connect = Connect()
    """How to connect, and when to give up."""
    policy: Name = "default"
    """The policy that decides for it. `default` exists by itself when no policy is written."""


class Compose(Section):
    """Containers by their Compose labels."""

    project: Name
    """The Compose project, as `docker compose ls` shows it."""
    service: Name
    """The service within the project, as `docker compose ps` shows it."""


class Command(Section):
    """Programs that restart a service which Docker does not run; no shell is involved."""

    restart: Words
    """Program and arguments that restart it."""
    inspect: Words
    """Program and arguments whose output is another one after every start."""
    deadline: Deadline = MINUTE
    """How long either may take."""


class Verify(Section):
    """What a restarted replica must show before the restart counts."""

    within: Duration = 90 * SECOND
    """How long it may take, after its stop timeout, to be running and healthy."""
    steady_for: Pause = 10 * SECOND
    """How long it must then stay up without another start."""


class Sessions(Section):
    """What a client's sessions look like; all that is given must fit. Shell patterns such as `celery*`."""

    applications: tuple[Text, ...] = ()
    """Values of application_name."""
    users: tuple[Text, ...] = ()
    """Roles."""
    addresses: tuple[Annotated[str, NETWORK], ...] = ()
    """Where they come from: addresses or networks such as `10.1.0.0/16`."""


class Client(Sessions):
    """Somebody whose sessions are told apart from others', though it is nothing that is restarted."""

    name: Name
    """What it is called."""
    pooler: Annotated[bool, BOOLEAN] = False
    """It is a connection pooler: whose sessions it brings cannot be told."""


class Connections(Section):
    """How many connections a service is meant to have: in numbers, or by the processes that have them."""

    normal: Count | None = None
    """On a usual day, all replicas together."""
    peak: Count | None = None
    """The most, all replicas together; `normal` when left out."""
    processes: Annotated[int | None, whole(1, 10_000)] = None
    """Instead of numbers: worker processes of one replica. Replicas are counted."""
    threads: Annotated[int | None, whole(1, 10_000)] = None
    """Threads of one process, 1 when left out: each has one connection."""
    pool: Annotated[int | None, whole(1, 10_000)] = None
    """The most connections that a process's pool holds, overflow included."""
    max_age: Pause | None = None
    """For how long the service keeps a connection that it does not use: Django's `CONN_MAX_AGE`, a pool's
    lifetime."""
    checked: Annotated[bool, BOOLEAN] = False
    """It tests a connection before it uses it: `CONN_HEALTH_CHECKS`, `pool_pre_ping`."""


class Diagnose(Section):
    """A program that only looks, run right before the service is restarted; no shell is involved."""

    run: Words
    """Program and arguments; of a Compose service they are run in the container that is about to be restarted
    (which the Docker endpoint must allow), else on this machine."""
    within: Annotated[timedelta, duration(most=MINUTE)] = 10 * SECOND
    """How long it may hold up the restart at most."""


class Service(Section):
    """Something that may be restarted; exactly one of `compose` and `command` says how."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["compose"]}, {"required": ["command"]}]}
    )

    name: Name
    """What steps call it."""
    compose: Compose | None = None
    """The containers of a Compose service."""
    command: Command | None = None
    """Programs that restart it, for systemd, supervisor and the like."""
    sessions: Sessions | None = None
    """How to know its sessions where their address does not tell: services that Docker does not run, or that
    reach the database through a pooler, a published port or another machine."""
    connections: Connections | None = None
    """What `remediator audit` holds its sessions against."""
    verify: Verify = Verify()
    """What must be seen after a restart."""
    diagnose: Diagnose | None = None
    """What to ask it before a restart, for `remediator history show ID`; not in a dry run."""
