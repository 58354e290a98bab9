"""What happens to the world during a soak, chosen at random from a seed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from tests.soak.world import World
from tests.testbed.daemon import LeakingService
from tests.testbed.postgres import PostgresServer

_OWN = "SELECT pid FROM pg_stat_activity WHERE usename = 'remediator'"
_LEAKS = (0.05, 0.2, 0.5, 5.0)
_COMMANDS = (
    ("plan",),
    ("check",),
    ("doctor",),
    ("health",),
    ("history",),
    ("history", "--format", "json"),
    ("config", "check"),
)


class Faults:
    """Does one thing after the other to the world.

    Args:
        world: The world.
        chance: Decides what, how long and how bad.
        longest: The longest that anything is kept down, in seconds.

    Attributes:
        begun: What was done and when it began, as wall-clock seconds.
        ends: Whether the daemon may be ended; a process that is to be measured needs a long life.
        exits: Exit codes of the daemon when it was asked to end.
        quiet: Times at which the daemon could not complete cycles, as pairs of wall-clock seconds.
    """

    def __init__(self, world: World, chance: random.Random, *, longest: float) -> None:
        self.begun: list[tuple[float, str]] = []
        self.ends = True
        self.exits: list[int] = []
        self.quiet: list[tuple[float, float]] = []
        self._world = world
        self._chance = chance
        self._longest = longest
        self._weighted: list[tuple[Callable[[], None], int]] = [
            (self.change_leak, 5),
            (self.restart_server, 2),
            (self.crash_a_backend, 2),
            (self.freeze_server, 2),
            (self.end_our_session, 2),
            (self.lose_other_server, 2),
            (self.kill_service, 3),
            (self.reload, 2),
            (self.reload_broken, 1),
            (self.burst_of_reloads, 1),
            (self.pause, 2),
            (self.acknowledge, 3),
            (self.command, 3),
            (self.cut_engine, 3),
            (self.suspend_daemon, 1),
        ]
        self._ends: list[tuple[Callable[[], None], int]] = [
            (self.stop_daemon, 3),
            (self.kill_daemon, 4),
            (self.change_log_level, 2),
        ]

    @property
    def done(self) -> dict[str, int]:
        """How often each was done."""
        return dict(sorted(Counter(name for _, name in self.begun).items()))

    def one(self) -> str:
        """Do one thing to its end; tell which."""
        choices = [*self._weighted, *(self._ends if self.ends else ())]
        [act] = self._chance.choices([act for act, _ in choices], [weight for _, weight in choices])
        name: str = act.__name__
        self.begun.append((time.time(), name))
        with suppress(psycopg.OperationalError):  # the server recovers still from what was done before
            act()
        return name

    def _a_while(self) -> None:
        time.sleep(self._chance.uniform(0.2, self._longest))

    def _service(self) -> LeakingService:
        return self._chance.choice(list(self._world.services.values()))

    @staticmethod
    def _start(service: LeakingService) -> None:
        with suppress(subprocess.TimeoutExpired):  # the daemon has restarted it just then: it runs already
            service.start()

    @property
    def _shop(self) -> PostgresServer:
        return self._world.servers["shop"]

    @contextmanager
    def _standstill(self) -> Iterator[None]:
        begun = time.time()
        yield
        self.quiet.append((begun, time.time()))

    def change_leak(self) -> None:
        """A service leaks faster or slower from now on."""
        service = self._service()
        service.every = self._chance.choice(_LEAKS)
        service.configure()
        service.stop()
        self._start(service)

    def restart_server(self) -> None:
        """The server stops in one way or the other, stays away, and comes back."""
        self._shop.stop(self._chance.choice(("fast", "immediate")))
        self._a_while()
        self._shop.start()

    def crash_a_backend(self) -> None:
        """A server process dies; the server ends all sessions and recovers."""
        pids = [pid for (pid,) in self._shop.rows("SELECT pid FROM pg_stat_activity WHERE usename = 'app'")]
        if pids:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), signal.SIGKILL)

    def freeze_server(self) -> None:
        """The server and what serves us stand still, then go on."""
        self._freeze(self._shop)

    def _freeze(self, server: PostgresServer) -> None:
        for (pid,) in server.rows(_OWN):
            with suppress(ProcessLookupError):
                server.freeze_backend(pid)
        server.freeze()
        try:
            self._a_while()
        finally:
            server.thaw()

    def end_our_session(self) -> None:
        """Somebody ends our sessions."""
        self._shop.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'remediator'")

    def lose_other_server(self) -> None:
        """The second database cannot be reached, or hangs."""
        side = self._world.servers["side"]
        if self._chance.random() < 0.5:
            self._freeze(side)
            return
        side.stop("fast")
        self._a_while()
        side.start()

    def kill_service(self) -> None:
        """A service's process dies and is started again by somebody else."""
        service = self._service()
        service.stop()
        self._a_while()
        self._start(service)

    def reload(self) -> None:
        """The same or another pace, by SIGHUP."""
        pace = self._chance.choice(("100ms", "150ms", "250ms"))
        self._world.daemon.write_config({"check_every": {"critical": pace}})
        self._hup()

    def reload_broken(self) -> None:
        """A file that is no config, by SIGHUP; then the good one again."""
        path = self._world.daemon.config_file
        good = path.read_text()
        path.write_text(good[: self._chance.randrange(len(good))])
        self._hup()
        time.sleep(0.3)
        path.write_text(good)
        self._hup()

    def burst_of_reloads(self) -> None:
        """Many SIGHUPs at once."""
        for _ in range(50):
            self._hup()
            time.sleep(0.005)

    def _hup(self) -> None:
        self._world.daemon.signal(signal.SIGHUP)

    def pause(self) -> None:
        """An operator pauses for a while."""
        self._world.daemon.run("pause", "--for", "30s", "--reason", "soak")
        self._a_while()
        self._world.daemon.run("resume")

    def acknowledge(self) -> None:
        """An operator unlocks what is locked."""
        self._world.daemon.run("ack")

    def command(self) -> None:
        """An operator looks."""
        self._world.daemon.run(*self._chance.choice(_COMMANDS))

    def cut_engine(self) -> None:
        """The engine cannot be reached."""
        self._world.cut_engine()
        self._a_while()
        self._world.connect_engine()

    def suspend_daemon(self) -> None:
        """The machine sleeps, as far as the daemon can tell."""
        with self._standstill():
            self._world.daemon.signal(signal.SIGSTOP)
            self._a_while()
            self._world.daemon.signal(signal.SIGCONT)

    def stop_daemon(self) -> None:
        """The daemon is asked to end, and started again."""
        with self._standstill():
            self.exits.append(self._world.daemon.terminate(30))
            self._world.start_daemon()

    def kill_daemon(self) -> None:
        """The daemon is killed, and started again."""
        with self._standstill():
            self._world.daemon.kill()
            self._world.start_daemon()

    def change_log_level(self) -> None:
        """Another log level, which a start puts in force."""
        daemon = self._world.daemon
        daemon.config["log"] = {"level": self._chance.choice(("debug", "info")), "format": "json"}
        daemon.write_config()
        self.stop_daemon()
