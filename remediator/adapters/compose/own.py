"""Which container we are in ourselves."""

from __future__ import annotations

import re
import socket
from pathlib import Path

_ID = r"[0-9a-f]{64}"
_SHORT_ID = re.compile(r"[0-9a-f]{12}")
# The files that every container gets from its engine; other mounts may belong to other containers.
_GIVEN = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
_GIVEN_SOURCE = re.compile(rf"/({_ID})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)$")
_IN_CGROUP = re.compile(rf"(?<![0-9a-f])({_ID})(?![0-9a-f])")
_SOURCE, _TARGET = 3, 4


def own_ids(mountinfo: str, cgroup: str, hostname: str) -> frozenset[str]:
    """Find the ids of the containers that this process may be in; none on a host.

    Args:
        mountinfo: The text of `/proc/self/mountinfo`.
        cgroup: The text of `/proc/self/cgroup`.
        hostname: Only believed when the files tell nothing.

    Returns:
        Full ids, or the first twelve digits of one when only the hostname tells.
    """
    ids = {match[1] for line in mountinfo.splitlines() if (match := _given_by_engine(line))}
    for line in cgroup.splitlines():
        ids |= set(_IN_CGROUP.findall(line))
    if not ids and _SHORT_ID.fullmatch(hostname):
        ids = {hostname}
    return frozenset(ids)


def read_own_ids(proc: Path = Path("/proc/self")) -> frozenset[str]:
    """Find the ids of the containers that this process may be in, from the system.

    Args:
        proc: Where `mountinfo` and `cgroup` are.
    """
    return own_ids(_text(proc / "mountinfo"), _text(proc / "cgroup"), socket.gethostname())


def _given_by_engine(line: str) -> re.Match[str] | None:
    fields = line.split(" ")
    if len(fields) <= _TARGET or fields[_TARGET] not in _GIVEN:
        return None
    return _GIVEN_SOURCE.search(fields[_SOURCE])


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
