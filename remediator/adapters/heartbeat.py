"""A sign of life for `remediator health`: a file whose age tells when the last cycle was completed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NAME = "heartbeat"
_MOST = 1 << 20


class Pulse(StrEnum):
    """What a heartbeat says."""

    FRESH = "fresh"
    STALE = "stale"
    STALLED = "stalled"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class HeartbeatStatus:
    """What was read.

    Attributes:
        age: Time since the last beat; None when there is none. Negative after a clock went back.
        max_age: How old the beat may become, by what the daemon said; None when there is none.
        pid: The daemon's process, in its own pid namespace; None when there is none.
        detail: Why there is none, or what has stalled.
        standing_by: Databases on which another one has the right to act.
        mode: In which mode the daemon runs; empty when it did not say.
    """

    pulse: Pulse
    age: timedelta | None = None
    max_age: timedelta | None = None
    pid: int | None = None
    detail: str = ""
    standing_by: tuple[str, ...] = ()
    mode: str = ""


class Heartbeat:
    """Beats after each completed cycle.

    Args:
        state_dir: Where the file is.
        mode: In which mode the daemon runs.
    """

    def __init__(self, state_dir: Path, mode: str = "") -> None:
        self._path = state_dir / _NAME
        self._mode = mode
        self._told: object = None

    def beat(self, max_age: timedelta, stalled: Sequence[str] = (), standing_by: Sequence[str] = ()) -> bool:
        """Say that a cycle was completed; false when it could not be said. Never raises.

        Args:
            max_age: How long from now the next beat is to be expected at the latest.
            stalled: Databases none of whose cycles was completed in time.
            standing_by: Databases on which another one has the right to act.
        """
        told = (max_age, tuple(stalled), tuple(standing_by))
        try:
            if self._told != told or not self._touch():
                self._write(max_age, stalled, standing_by)
        except OSError:
            self._told = None
            return False
        self._told = told
        return True

    def _touch(self) -> bool:
        try:
            os.utime(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _write(self, max_age: timedelta, stalled: Sequence[str], standing_by: Sequence[str]) -> None:
        # Not synced: after a crash of the machine no beat is wanted. Renamed: nobody reads half of it.
        said = {"pid": os.getpid(), "mode": self._mode, "max_age": max_age.total_seconds()}
        text = json.dumps(said | {"stalled": list(stalled), "standing_by": list(standing_by)})
        new = self._path.with_name(f"{_NAME}.new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o644, exist_ok=False)
        new.write_text(text + "\n")
        new.replace(self._path)


def read(state_dir: Path, now: datetime) -> HeartbeatStatus:
    """Read the last beat.

    A beat from further in the future than it may be old is stale too: the clock went back, and a daemon
    that lives beats again within its cycle.

    Args:
        state_dir: Where the daemon keeps its file.
        now: The current time.
    """
    path = state_dir / _NAME
    try:
        with path.open("rb") as file:
            beaten = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
            said = json.loads(file.read(_MOST))
        max_age, pid = timedelta(seconds=said["max_age"]), int(said["pid"])
        stalled, waits = ", ".join(said.get("stalled", ())), tuple(map(str, said.get("standing_by", ())))
        mode = str(said.get("mode", ""))
    except FileNotFoundError:
        return HeartbeatStatus(Pulse.MISSING, detail=f"{path} does not exist; no cycle was completed yet")
    except OSError as error:
        return HeartbeatStatus(Pulse.UNREADABLE, detail=f"{path}: {error.strerror or error}")
    except (ValueError, KeyError, TypeError, OverflowError):
        return HeartbeatStatus(Pulse.UNREADABLE, detail=f"{path} was not written by remediator")
    age = now - beaten
    if abs(age) > max_age:
        return HeartbeatStatus(Pulse.STALE, age, max_age, pid)
    if stalled:
        return HeartbeatStatus(
            Pulse.STALLED, age, max_age, pid, f"no check of {stalled} was completed in time", mode=mode
        )
    return HeartbeatStatus(Pulse.FRESH, age, max_age, pid, standing_by=waits, mode=mode)
