"""The state directory: whether it may be trusted, and creating files in it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from remediator.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

_ROOT = 0


def check_state_dir(state_dir: Path) -> None:
    """Make sure that the state directory is there and that nobody else can write our records.

    Root may use the directory of the user that the daemon runs as: operators' commands run as root.

    Raises:
        LedgerError: It is missing, no directory, someone else's, or open to everyone.
    """
    try:
        status = state_dir.stat()
    except OSError as error:
        remedy = (
            "create it for the user that runs remediator; systemd's StateDirectory= does at the first start"
        )
        raise LedgerError(f"state directory {state_dir}: {_said(error)}; {remedy}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise LedgerError(f"state directory {state_dir}: is not a directory; set state_dir to one")
    user = os.geteuid()
    if user not in (_ROOT, status.st_uid):
        raise LedgerError(
            f"state directory {state_dir}: belongs to uid {status.st_uid}, remediator runs as uid {user}; "
            "run it as the owner, or chown the directory"
        )
    if status.st_mode & stat.S_IWOTH:
        raise LedgerError(
            f"state directory {state_dir}: everyone may write to it and so forge the ledger; chmod o-w it"
        )


def explain(error: OSError) -> str:
    """Say for a person what was wrong with a file in the state directory, and what to look at."""
    remedy = "check the directory, its file system and its owner"
    if error.errno == errno.EROFS:
        remedy += "; under systemd, ProtectSystem=strict wants it in ReadWritePaths="
    return f"{_said(error)}; {remedy}"


def create_private(path: Path) -> None:
    """Create an empty file of the state directory for its owner alone, unless there is one already.

    Raises:
        OSError: As `os.open` does.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return
    try:
        _give_to_owner_of(path.parent, descriptor)
    finally:
        os.close(descriptor)


def create_private_directory(path: Path) -> None:
    """Create a directory in the state directory for its owner alone, unless there is one already.

    Raises:
        OSError: As `os.mkdir` and `os.open` do.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _give_to_owner_of(path.parent, descriptor)
    finally:
        os.close(descriptor)


def _give_to_owner_of(directory: Path, descriptor: int) -> None:
    owner = directory.stat()
    if owner.st_uid != os.geteuid():
        # Root made it for the daemon, which must be able to open it; without the right to give it
        # away (a container without capabilities) it stays root's.
        with suppress(PermissionError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
