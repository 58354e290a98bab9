"""The effective configuration as frozen values: what the rest of the program gets to see."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from remediator.config.secret import Secret, UnreadSecret, revealing
from remediator.core.attribution import Claim
from remediator.core.audit.facts import Connections
from remediator.core.model import Mode
from remediator.core.notice import Kind
from remediator.core.policy import Policy
from remediator.core.service import Service


@dataclass(frozen=True, slots=True)
class ConnectSettings:
    """How to connect to a database, and when to give up.

    Attributes:
        timeout: For establishing a connection.
        query_timeout: For one query, counted on our side.
        probe_every: How often to try a fresh connection as a client would; 0 is never.
        keepalives_idle: Silence on a connection before TCP asks whether the server is there.
        keepalives_interval: Between two such questions.
        keepalives_count: Questions without an answer before the connection counts as dead.
        tcp_user_timeout: How long sent data may stay unacknowledged.
        application_name: What our sessions are called on the server.
    """

    timeout: timedelta = timedelta(seconds=5)
    query_timeout: timedelta = timedelta(seconds=5)
    probe_every: timedelta = timedelta(seconds=15)
    keepalives_idle: timedelta = timedelta(seconds=10)
    keepalives_interval: timedelta = timedelta(seconds=5)
    keepalives_count: int = 3
    tcp_user_timeout: timedelta = timedelta(seconds=15)
    application_name: str = "remediator"


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """One PostgreSQL server to watch.

    Attributes:
        dsn: libpq URL or keywords without the password; empty when libpq's own environment decides.
        password: None when libpq finds it by itself, or none is needed.
        password_file: Where the password was read from, None when it came from elsewhere.
    """

    name: str
    dsn: str
    password: Secret | None
    connect: ConnectSettings
    policy: Policy
    password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ComposeTarget:
    """Containers of one Compose service; neither part is ever empty."""

    project: str
    service: str

    @property
    def text(self) -> str:
        """What they are found by, in words."""
        return f"Compose project {self.project}, service {self.service}"


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A service that commands restart, for systemd and the like. No shell is involved.

    Attributes:
        restart: Program and arguments that restart it.
        inspect: Program and arguments whose output differs after every start.
        deadline: How long either may take.
    """

    restart: tuple[str, ...]
    inspect: tuple[str, ...]
    deadline: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class DiagnoseSettings:
    """A program that only looks, run before a restart, and how long it may hold that up."""

    run: tuple[str, ...]
    within: timedelta


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Something that may be restarted, and how.

    Attributes:
        connections: How many it is meant to have, None when nobody said.
        diagnose: What to ask it before a restart.
    """

    service: Service
    runtime: ComposeTarget | CommandTarget
    connections: Connections | None = None
    diagnose: DiagnoseSettings | None = None

    @property
    def patient(self) -> Service:
        """The service, whose restart is given the time for the diagnostic too."""
        if self.diagnose is None:
            return self.service
        verification = self.service.verification
        longer = replace(verification, within=verification.within + self.diagnose.within)
        return replace(self.service, verification=longer)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged and in which form; `auto` is for people on a terminal and JSON elsewhere."""

    level: str = "info"
    format: Literal["auto", "json", "console"] = "auto"


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """What is kept of what each check saw.

    Attributes:
        keep: For how long; nothing at all when it is 0.
        max_size: Bytes that it may take.
    """

    keep: timedelta = timedelta(days=90)
    max_size: int = 200_000_000


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the status page and the metrics are served, and under which names.

    Attributes:
        host: An address of this machine; never a name.
        allowed_hosts: What browsers may call it, besides its addresses and `localhost`.
    """

    host: str
    port: int
    allowed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Somebody who is told what happens.

    Attributes:
        url: Where to, as Apprise writes it; a secret as a whole.
        url_file: Where it was read from, None when it came from elsewhere.
        kinds: What is told.
        databases: Of which databases; empty for all.
        modes: In which modes.
        remind_every: After how long a fact that lasts is told again; None is never.
    """

    name: str
    url: Secret
    kinds: tuple[Kind, ...]
    databases: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = (Mode.DRY_RUN, Mode.ENFORCE)
    remind_every: timedelta | None = timedelta(hours=4)
    url_file: Path | None = None


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """When the daemon makes audits, and how many of them are kept."""

    cron: str
    timezone: str
    keep: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator asked for.

    Attributes:
        source: The file it came from.
        web: None when nothing is served.
        claims: Whose sessions look how.
        audit: None when the daemon makes no audits.
        warnings: What is not wrong but should be looked at, one line each.
    """

    mode: Mode
    state_dir: Path
    docker_host: str
    databases: tuple[DatabaseSettings, ...]
    services: tuple[ServiceSettings, ...]
    log: LogSettings
    source: Path
    web: WebSettings | None = None
    claims: tuple[Claim, ...] = ()
    notify: tuple[NotifySettings, ...] = ()
    audit: AuditSettings | None = None
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All secret values that are known, for whoever has to keep them out of output."""
        given = (database.password for database in self.databases if database.password)
        passwords = (password for password in given if not isinstance(password, UnreadSecret))
        return (*passwords, *(secret for target in self.notify for secret in revealing(target.url)))
