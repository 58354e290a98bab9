"""Telling systemd how the service is: its datagram protocol, which is documented as stable."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

# Seconds; only a manager that does not read at all makes us wait, and a cycle must not wait for it.
_TIMEOUT = 0.25


class Notifier:
    """Sends states to the service manager; without one, every method does nothing.

    The methods tell whether the manager took the message; they never raise and hardly ever wait.

    Args:
        address: The manager's socket: a path, or an abstract name that begins with NUL; None without one.
        watchdog_timeout: The manager restarts us when `watchdog` is not called for so long; None: never.
    """

    def __init__(self, address: str | None = None, watchdog_timeout: timedelta | None = None) -> None:
        self.watchdog_timeout = watchdog_timeout
        self._address = address
        self._socket: socket.socket | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read where the manager listens and what it expects: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID."""
        name = env.get("NOTIFY_SOCKET", "")
        if not name.startswith(("/", "@")):
            return cls()
        address = f"\0{name[1:]}" if name.startswith("@") else name
        return cls(address, _watchdog_timeout(env))

    def ready(self) -> bool:
        """Started, or a reload is done."""
        return self._send("READY=1")

    def be_patient(self, longest_silence: timedelta) -> bool:
        """Ask the watchdog to wait for at least this long; it is never made to wait less than it would."""
        if self.watchdog_timeout is None or self.watchdog_timeout >= longest_silence:
            return True
        return self._send(f"WATCHDOG_USEC={int(longest_silence.total_seconds() * 1_000_000)}")

    def watchdog(self) -> bool:
        """Still working; call it at least every half of `watchdog_timeout`."""
        return self._send("WATCHDOG=1")

    def stopping(self) -> bool:
        """Shutting down."""
        return self._send("STOPPING=1")

    def close(self) -> None:
        """Close the socket; another message opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.settimeout(_TIMEOUT)
            self._socket.sendto(message.encode(errors="replace"), self._address)
        except (OSError, ValueError):
            return False
        return True


def _watchdog_timeout(env: Mapping[str, str]) -> timedelta | None:
    """The manager's patience, unless it is meant for another process."""
    with suppress(ValueError, OverflowError):
        microseconds = int(env["WATCHDOG_USEC"]) if "WATCHDOG_USEC" in env else 0
        ours = int(env.get("WATCHDOG_PID") or os.getpid()) == os.getpid()
        if ours and microseconds > 0:
            return timedelta(microseconds=microseconds)
    return None
