"""The service manager's side is a real datagram socket."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediator.adapters.heartbeat import Heartbeat, Pulse, read
from remediator.adapters.sdnotify import Notifier
from remediator.app import Watchers


def _listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(10)
    return listener


def _say_everything(notifier: Notifier, listener: socket.socket) -> list[bytes]:
    with closing(notifier):
        assert notifier.ready()
        assert notifier.watchdog()
        assert notifier.stopping()
    return [listener.recv(4096) for _ in range(3)]


_EVERYTHING = [
    b"READY=1",
    b"WATCHDOG=1",
    b"STOPPING=1",
]


def test_messages_arrive_at_a_path(tmp_path: Path) -> None:
    """One datagram for each state; a status is one line whatever it was made of."""
    with _listen(str(tmp_path / "notify")) as listener:
        notifier = Notifier.from_env({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert _say_everything(notifier, listener) == _EVERYTHING


def test_messages_arrive_at_an_abstract_name() -> None:
    """`@` stands for the NUL that an abstract name begins with."""
    name = f"remediator-test-{os.getpid()}"
    with _listen(f"\0{name}") as listener:
        notifier = Notifier.from_env({"NOTIFY_SOCKET": f"@{name}"})
        assert _say_everything(notifier, listener) == _EVERYTHING


def test_closed_notifier_opens_again(tmp_path: Path) -> None:
    """Closing lets go of the socket only."""
    with _listen(str(tmp_path / "notify")) as listener:
        notifier = Notifier.from_env({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(2):
            assert notifier.ready()
            notifier.close()
            assert listener.recv(64) == b"READY=1"


def test_while_the_checks_of_one_database_stall_the_watchdog_is_not_fed(tmp_path: Path) -> None:
    """However well the others are checked: the manager restarts what has got stuck; `health` says so."""
    with _listen(str(tmp_path / "notify")) as listener:
        notifier = Notifier.from_env({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"})
        watchers = Watchers(notifier, Heartbeat(tmp_path))
        watchers.ready(timedelta(seconds=20))
        watchers.alive()
        watchers.stalled(["blog"])
        pulse = read(tmp_path, datetime.now(UTC)).pulse
        watchers.stopping()
        notifier.close()
        said = [listener.recv(64)]
        while said[-1] != b"STOPPING=1":
            said.append(listener.recv(64))
    assert said == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert pulse is Pulse.STALLED


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "relative/path"])
def test_without_a_manager_nothing_is_said(name: str) -> None:
    """Neither without the variable nor with an address of a kind that is not spoken here."""
    notifier = Notifier.from_env({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"} if name else {})
    assert not notifier.ready()
    assert notifier.watchdog_timeout is None


def test_manager_that_is_gone_or_deaf_costs_nothing(tmp_path: Path) -> None:
    """No socket, and one that nobody reads until it is full: the message is lost, that is all."""
    path = tmp_path / "notify"
    with closing(Notifier.from_env({"NOTIFY_SOCKET": str(path)})) as notifier:
        assert not notifier.ready()
        with _listen(str(path)):
            sent = 0
            while notifier.watchdog():
                sent += 1
                assert sent < 100_000
            assert sent > 0


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 30}, None),
        ({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "us"}, None),
    ],
)
def test_watchdog_timeout_is_what_the_manager_says_to_us(
    env: dict[str, str], expected: timedelta | None
) -> None:
    """What is meant for another process, or makes no sense, is no watchdog."""
    notifier = Notifier.from_env({"NOTIFY_SOCKET": "/run/systemd/notify"} | env)
    assert notifier.watchdog_timeout == expected


def test_watchdog_is_asked_for_patience_only_when_it_has_too_little(tmp_path: Path) -> None:
    """A rare check must not look like a hang; a patient watchdog is left as it is."""
    path = str(tmp_path / "notify")
    with _listen(path) as listener, closing(Notifier(path, timedelta(seconds=30))) as notifier:
        assert notifier.be_patient(timedelta(seconds=30))
        assert notifier.be_patient(timedelta(seconds=90))
        assert listener.recv(64) == b"WATCHDOG_USEC=90000000"
    assert Notifier(path).be_patient(timedelta(days=1))
