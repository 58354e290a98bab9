"""The composition root: the only place where settings become objects and objects meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from remediator.adapters.clock import SystemClock
from remediator.adapters.dryrun import DryRunDatabase, DryRunRuntime
from remediator.adapters.everyone import Everyone, Followers
from remediator.adapters.heartbeat import Heartbeat
from remediator.adapters.ledger import LateLock, SqliteLedger
from remediator.adapters.sdnotify import Notifier
from remediator.config import Settings
from remediator.core.events import Event
from remediator.core.model import Mode
from remediator.cycle import Attributor, Cycle, Timekeeper, settle_unwatched
from remediator.daemon import Daemon
from remediator.errors import ConfigError, LedgerError
from remediator.following import Following
from remediator.people import People
from remediator.ports import KEEP_RECORDS, Clock, Database, Follower, LedgerStore, Observer, Supervisor
from remediator.recurrence import window_at
from remediator.world import World, make_world

# What a cycle consists of at most: a sample with its probe, a look at open entries, and either reading
# sessions or terminating them, each of which may have to connect again.
_EXCHANGES = 4
# Each service is looked at for a plan and for the outcome of a restart; a runtime answers within this time.
_LOOKS = 2
_LOOK_WITHIN = timedelta(seconds=10)
# The ledger's commits on a busy disk, and our own work.
_OURS = timedelta(seconds=10)


def make_cycles(
    settings: Settings,
    mode: Mode,
    world: World,
    *,
    store: LedgerStore,
    observer: Observer,
    clock: Clock,
    fence: Callable[[], None] = lambda: None,
    follower: Follower | None = None,
) -> tuple[Cycle, ...]:
    """Make each database's cycle, in enforce mode with the real world, else with a dry run's.

    Args:
        settings: The settings.
        mode: Whether the cycles may act.
        world: The real adapters.
        store: The ledger.
        observer: Told what happens.
        clock: The time.
        fence: Raises LedgerError when we are no longer the only one who may act.
        follower: Gets to see each completed cycle as a whole.
    """
    deciding, timekeeper = asyncio.Lock(), Timekeeper(store, observer)
    services = {s.service.name: s.patient for s in settings.services}
    runtimes, databases = world.runtimes, dict[str, Database](world.databases)
    if mode is Mode.DRY_RUN:
        databases = {name: DryRunDatabase(database) for name, database in databases.items()}
        runtimes = {name: DryRunRuntime(runtime) for name, runtime in runtimes.items()}
    return tuple(
        Cycle(
            database=databases[d.name],
            policy=d.policy,
            services=services,
            runtimes=runtimes,
            store=store,
            observer=observer,
            clock=clock,
            windows=window_at,
            mode=mode,
            deciding=deciding,
            timekeeper=timekeeper,
            fence=fence,
            attributor=Attributor(world.directory, settings.claims),
            follower=follower,
        )
        for d in settings.databases
    )


def longest_cycle(settings: Settings) -> timedelta:
    """How long a cycle takes when the server and every service's runtime use up their deadlines."""
    exchange = max(d.connect.timeout + d.connect.query_timeout for d in settings.databases)
    return _OURS + _EXCHANGES * exchange + _LOOKS * _LOOK_WITHIN * len(settings.services)


class Watchers:
    """Those who watch the watcher: systemd's watchdog and the file that `health` reads."""

    def __init__(self, notifier: Notifier, heartbeat: Heartbeat) -> None:
        self._notifier = notifier
        self._heartbeat = heartbeat
        self._longest_silence = timedelta(0)
        self._others: set[str] = set()

    def emit(self, event: Event, **fields: object) -> None:
        """Take note of databases on which another one has the right to act."""
        if event in (Event.STANDING_BY, Event.TAKING_OVER):
            change = self._others.add if event is Event.STANDING_BY else self._others.discard
            change(str(fields["database"]))

    def ready(self, longest_silence: timedelta) -> None:
        """Say that checking has begun, and how long a healthy daemon may stay silent."""
        self._longest_silence = longest_silence
        self._notifier.be_patient(longest_silence)
        self._notifier.ready()

    def alive(self) -> None:
        """Say that cycles complete."""
        self._notifier.watchdog()
        self._heartbeat.beat(self._longest_silence, (), sorted(self._others))

    def stalled(self, databases: Sequence[str]) -> None:
        """Say whose cycles do not complete; the watchdog is left to bite."""
        self._heartbeat.beat(self._longest_silence, databases, sorted(self._others))

    def stopping(self) -> None:
        """Say that the end is on purpose."""
        self._notifier.stopping()


@asynccontextmanager
async def assembled(
    settings: Settings,
    mode: Mode,
    observer: Everyone,
    env: Mapping[str, str],
    load: Callable[[], Settings],
    patience: float,
) -> AsyncIterator[tuple[Daemon, tuple[Cycle, ...]]]:
    """Hold a daemon that is ready to run; it acts once it is alone on a usable state directory.

    Args:
        settings: The settings.
        mode: Whether it acts.
        observer: Told what happens; who else wants to know joins it here.
        env: The environment, for systemd's variables.
        load: Reads the settings anew, for SIGHUP.
        patience: Seconds at the end for notifications that still wait.

    Raises:
        BusyError: Another daemon uses it.
    """
    clock = SystemClock()
    lock = _locked(settings, clock)
    people, follower = People(settings, mode, observer, clock), Following(settings, mode, observer, clock)
    store, world = SqliteLedger(settings.state_dir, mode), make_world(settings, mode, follower.diagnosed)
    keep_house = partial(_keep_house, lock, store, world, observer, mode, clock)
    made = partial(make_cycles, settings, mode, world, store=store, observer=observer, clock=clock)
    try:
        people.appoint(settings)
        await keep_house()
        cycles = made(fence=lock.fence, follower=follower)
        reload = Reload(settings, world, cycles, observer, load, people.appoint)
        attended = _attended(reload, mode, observer, env, clock, store, follower)
        daemon = _daemon(reload, observer, clock, keep_house, attended)
        _warn(settings, observer)
        yield daemon, cycles
    finally:
        await people.close(patience)
        await world.close()
        await store.close()
        follower.close()
        lock.release()


def _locked(settings: Settings, clock: Clock) -> LateLock:
    lock = LateLock(settings.state_dir, lambda: clock.now().at)
    with suppress(LedgerError):  # said by the first cycle, which tries again
        lock.ensure()
    return lock


async def _keep_house(
    lock: LateLock, store: LedgerStore, world: World, observer: Observer, mode: Mode, clock: Clock
) -> None:
    with suppress(LedgerError):  # said by the cycles, which need it more
        lock.fence()
        await settle_unwatched(store, world.databases, observer, mode, clock.now())
        await store.prune(clock.now().at - KEEP_RECORDS)


_Attended = tuple[Supervisor, tuple[Callable[[], Coroutine[Any, Any, None]], ...]]


def _daemon(
    reload: Reload,
    observer: Observer,
    clock: Clock,
    keep_house: Callable[[], Awaitable[None]],
    attended: _Attended,
) -> Daemon:
    supervisor, beside = attended
    return Daemon(
        reload.cycles,
        clock=clock,
        observer=observer,
        supervisor=supervisor,
        reload=reload,
        daily=keep_house,
        longest_cycle=longest_cycle(reload.settings),
        beside=beside,
    )


def _attended(
    reload: Reload,
    mode: Mode,
    observer: Everyone,
    env: Mapping[str, str],
    clock: Clock,
    store: LedgerStore,
    followers: Followers,
) -> _Attended:
    """Make whom to tell of life, and what runs beside the checks: the web server, if one is asked for."""
    settings = reload.settings
    watchers = Watchers(Notifier.from_env(env), Heartbeat(settings.state_dir, mode.value))
    observer.join(watchers)
    if settings.web is None:
        return watchers, ()
    # Only now: a daemon that serves nothing need not hold a web server in memory.
    from remediator.serving import Pulse, Shown, serve  # noqa: PLC0415

    pulse = Pulse(watchers, clock, [d.name for d in settings.databases])
    shown = Shown(mode, reload.cycles, store, clock, lambda: reload.settings)
    server, desk = serve(settings.web, observer, pulse, shown)
    followers.join(desk)
    return pulse, (server.run,)


@dataclass(slots=True)
class Reload:
    """Puts new policies and whom to notify in force while everything else stays connected and remembered.

    Attributes:
        settings: Those in force.
        appoint: Puts in force whom to notify.
    """

    settings: Settings
    world: World
    cycles: tuple[Cycle, ...]
    observer: Observer
    load: Callable[[], Settings]
    appoint: Callable[[Settings], None]

    def __call__(self) -> None:
        """Read the settings anew.

        Raises:
            ConfigError: They are wrong, or change what only a restart can change.
        """
        new = self.load()
        if what := ", ".join(key for key, differs in _beyond_reload(self.settings, new) if differs):
            raise ConfigError((f"{new.source}: {what} changed; restart remediator to put it in force",))
        policies = {d.name: d.policy for d in new.databases}
        for cycle in self.cycles:
            name = cycle.database.name
            cycle.policy = policies[name]
            self.world.databases[name].count_by(policies[name].cutoffs)
        if new.notify != self.settings.notify:
            self.appoint(new)
        self.settings = new
        _warn(new, self.observer)


def _warn(settings: Settings, observer: Observer) -> None:
    for warning in settings.warnings:
        observer.emit(Event.CONFIG_WARNING, because=warning)


def _beyond_reload(old: Settings, new: Settings) -> tuple[tuple[str, bool], ...]:
    def connections(settings: Settings) -> object:
        return [(d.name, d.dsn, d.connect, d.password and d.password.reveal()) for d in settings.databases]

    return (
        ("mode", old.mode is not new.mode),
        ("state_dir", old.state_dir != new.state_dir),
        ("docker", old.docker_host != new.docker_host),
        ("a database's connection", connections(old) != connections(new)),
        ("services", old.services != new.services),
        ("clients", old.claims != new.claims),
        ("log", old.log != new.log),
        ("recording", old.recording != new.recording),
        ("web", old.web != new.web),
        ("audit", old.audit != new.audit),
    )
