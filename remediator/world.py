"""From settings to the adapters of everything outside: the databases, and what runs the services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from remediator.adapters.clock import SystemClock
from remediator.adapters.command import CommandRuntime
from remediator.adapters.compose import ComposeDirectory, ComposeRuntime, DockerEngine
from remediator.adapters.diagnosing import DiagnosingRuntime
from remediator.adapters.postgres import PostgresDatabase, open_database
from remediator.config import CommandTarget, ComposeTarget, DatabaseSettings, ServiceSettings, Settings
from remediator.core.deposition import Deposition
from remediator.core.model import Mode
from remediator.log import Redactor
from remediator.ports import Runtime


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside that the settings name, ready to be used; nothing is connected yet.

    Attributes:
        databases: By name, real ones.
        runtimes: By service name, real ones.
        engine: The Docker engine, None when no service needs one.
        directory: Which containers run where, None without an engine.
    """

    databases: Mapping[str, PostgresDatabase]
    runtimes: Mapping[str, Runtime]
    engine: DockerEngine | None
    directory: ComposeDirectory | None = None

    async def close(self) -> None:
        """Close every connection."""
        for database in self.databases.values():
            await database.close()
        if self.directory is not None:
            await self.directory.close()
        if self.engine is not None:
            self.engine.close()


def make_world(
    settings: Settings, mode: Mode, diagnosed: Callable[[Deposition], None] = lambda _: None
) -> World:
    """Make the adapters that the settings ask for.

    In a dry run the Docker client can send nothing but GET, and nothing is asked before a restart.

    Args:
        settings: The settings.
        mode: Whether anything may be done.
        diagnosed: Keeps what was learned right before a restart.
    """
    databases = {d.name: _database(d, claims=mode is Mode.ENFORCE) for d in settings.databases}
    engine = None
    if any(isinstance(s.runtime, ComposeTarget) for s in settings.services):
        engine = DockerEngine(settings.docker_host, read_only=mode is Mode.DRY_RUN)

    def addresses() -> frozenset[str]:
        return frozenset(a for database in databases.values() for a in database.addresses)

    # What a command prints may hold a password of ours.
    mask = Redactor([secret.reveal() for secret in settings.secrets]).text
    runtimes = {s.service.name: _runtime(s, engine, addresses, mask) for s in settings.services}
    if mode is Mode.ENFORCE:
        runtimes = {
            s.service.name: _diagnosing(s, runtimes[s.service.name], diagnosed, mask)
            for s in settings.services
        }
    return World(databases, runtimes, engine, _directory(settings, engine))


def _diagnosing(
    settings: ServiceSettings,
    runtime: Runtime,
    diagnosed: Callable[[Deposition], None],
    mask: Callable[[str], str],
) -> Runtime:
    """Have a service asked before it is restarted, if that is configured."""
    diagnose = settings.diagnose
    match runtime:
        case ComposeRuntime() if diagnose is not None:
            examine = partial(runtime.examine, argv=diagnose.run, within=diagnose.within)
        case CommandRuntime() if diagnose is not None:
            examine = partial(runtime.examine, argv=diagnose.run, within=diagnose.within)
        case _:
            return runtime
    return DiagnosingRuntime(runtime, examine, diagnose.within, diagnosed, mask, SystemClock())


def _directory(settings: Settings, engine: DockerEngine | None) -> ComposeDirectory | None:
    if engine is None:
        return None
    names = {
        (s.runtime.project, s.runtime.service): s.service.name
        for s in settings.services
        if isinstance(s.runtime, ComposeTarget)
    }
    return ComposeDirectory(engine, names)


def _database(settings: DatabaseSettings, *, claims: bool) -> PostgresDatabase:
    connect = settings.connect
    keywords = {
        "application_name": connect.application_name,
        "keepalives": "1",
        "keepalives_idle": str(int(connect.keepalives_idle.total_seconds())),
        "keepalives_interval": str(int(connect.keepalives_interval.total_seconds())),
        "keepalives_count": str(connect.keepalives_count),
        "tcp_user_timeout": str(int(connect.tcp_user_timeout.total_seconds() * 1000)),
    }
    return open_database(
        settings.name,
        settings.dsn,
        password=settings.password.reveal() if settings.password else None,
        keywords=keywords,
        connect_timeout=connect.timeout,
        query_timeout=connect.query_timeout,
        cutoffs=settings.policy.cutoffs,
        probe_every=connect.probe_every,
        claims=claims,
        password_from=str(settings.password_file or ""),
    )


def _runtime(
    settings: ServiceSettings,
    engine: DockerEngine | None,
    addresses: Callable[[], frozenset[str]],
    mask: Callable[[str], str],
) -> Runtime:
    target, name = settings.runtime, settings.service.name
    match target:
        case ComposeTarget():
            assert engine is not None  # noqa: S101  made because there is a target like this
            return ComposeRuntime(
                name,
                project=target.project,
                compose_service=target.service,
                engine=engine,
                database_addresses=addresses,
            )
        case CommandTarget():
            return CommandRuntime(
                name, restart=target.restart, inspect=target.inspect, deadline=target.deadline, mask=mask
            )
