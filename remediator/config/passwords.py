"""Where a database's password comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remediator.config.problems import printable
from remediator.config.secret import Secret
from remediator.config.source import SourceError, read

LIMIT = 64 * 1024
CREDENTIALS = "CREDENTIALS_DIRECTORY"
CONTAINER_SECRETS = Path("/run/secrets")
_OF_UNITS = Path("/run/credentials")
_OF_OURS = "/etc/remediator/credentials"
# systemd puts the ID of `LoadCredential=ID:DIRECTORY` before each name; this is the ID in our unit.
_LOADED = "remediator_"


@dataclass(frozen=True, slots=True)
class Password:
    """A password from a file.

    Attributes:
        secret: Unread where it is not wanted; the file's path is then as it was written.
        warning: What should be looked at; empty when nothing.
    """

    secret: Secret
    file: Path
    warning: str = ""


def read_password(written: str, directory: Path, env: Mapping[str, str], *, foreign: bool) -> Password:
    """Read a password from the file that the configuration names.

    Args:
        written: A path; a bare name is looked for in systemd's credentials.
        directory: Where a relative path starts.
        env: The environment.
        foreign: The path is not the configuration file's own text, and must not be shown.

    Raises:
        ValueError: There is no such file, or no password in it. The message never shows content, and the
            path only when it is not foreign and cannot be a password that was written here by mistake.
    """
    bare = "/" not in written
    if bare and not env.get(CREDENTIALS):
        raise ValueError(
            f"is a bare name, which is looked for in ${CREDENTIALS}, which is not set; "
            f"write a path with a /, or export {CREDENTIALS}={_OF_OURS} on a systemd host"
        )
    file = _credential(Path(env[CREDENTIALS]), written) if bare else directory / written
    name = _name(written, directory, file, foreign=foreign)
    try:
        source = read(file, LIMIT)
    except SourceError as error:
        raise ValueError(f"{name} {error}{_not_handed_over(file) if bare else ''}") from None
    text = source.text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{name} is empty")
    # systemd guards its credentials by an access control list, which shows as group permissions; a
    # container's secrets keep the permissions of the host's files, and nobody else is in the container.
    exposed = source.exposed and not bare and not file.is_relative_to(CONTAINER_SECRETS)
    return Password(Secret(text), file, _warning(file) if exposed else "")


def _credential(credentials: Path, name: str) -> Path:
    """Where a credential is: under its name, or under the one that it has as a file of a whole directory."""
    file, loaded = credentials / name, credentials / f"{_LOADED}{name}"
    return loaded if os.path.lexists(loaded) and not os.path.lexists(file) else file


def _not_handed_over(file: Path) -> str:
    """What to do about a credential that systemd did not give to the unit that we are."""
    if file.parent.parent != _OF_UNITS or os.path.lexists(file):
        return ""
    unit = printable(file.parent.name)
    return (
        f"; systemd gave {unit} none when it started: put it, as a file and no link, into "
        f"{_OF_OURS}, or add LoadCredential=NAME:FILE to the unit; then restart the unit"
    )


def _name(written: str, directory: Path, file: Path, *, foreign: bool) -> str:
    """What a message calls the file: by its path, unless that may be a password that was written for it.

    A path starts like one, or with a directory that exists.
    """
    first, slash, _ = written.partition("/")
    if not slash:
        return f"the file of this name in {printable(str(file.parent))}"
    # Path.is_dir raises for a name that is too long for any file.
    is_path = first in ("", ".", "..") or os.path.isdir(directory / first)  # noqa: PTH112
    return printable(str(file)) if is_path and not foreign else "the file"


def _warning(file: Path) -> str:
    return f"{printable(str(file))}: others than its owner can read this secret; chmod 0400 it"
