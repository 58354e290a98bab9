"""Reading small text files that others wrote, without hanging on them or swallowing them whole."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class SourceError(Exception):
    """The file cannot be used; the message says why without repeating any of its content."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text, whether others than its owner may read it, and whether everyone may write to it."""

    text: str = field(repr=False)
    exposed: bool
    open_to_all: bool


def read(path: Path, limit: int) -> Source:
    """Read a regular UTF-8 file.

    Args:
        path: The file; symbolic links are followed.
        limit: Bytes it may have at most; more is refused before it is read.

    Raises:
        SourceError: It is missing, unreadable, not a regular file, too large, or not UTF-8 text.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise SourceError(f"cannot be read: {_reason(error)}{_whose(path, error)}") from None
    except ValueError:
        raise SourceError("cannot be read: its path has a NUL in it") from None
    try:
        status = os.fstat(descriptor)
        _require_regular(status.st_mode)
        if status.st_size > limit:
            raise SourceError(_too_large(limit))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise SourceError(f"cannot be read: {_reason(error)}") from None
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise SourceError(_too_large(limit))
    mode = status.st_mode
    exposed, open_to_all = bool(mode & (stat.S_IRGRP | stat.S_IROTH)), bool(mode & stat.S_IWOTH)
    return Source(_decode(data), exposed=exposed, open_to_all=open_to_all)


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "something else")
        raise SourceError(f"is {kind}, not a regular file")


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise SourceError("is binary, not UTF-8 text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(f"is not UTF-8 text (line {line})") from None


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _whose(path: Path, error: OSError) -> str:
    """Who is refused, and whose file it is, when permissions are what is missing."""
    if error.errno not in (errno.EACCES, errno.EPERM):
        return ""
    text = f"; remediator runs as uid {os.geteuid()}"
    try:
        status = path.stat()
    except OSError:
        return f"{text}, which may not enter its directory"
    return f"{text}, the file belongs to uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"


def _too_large(limit: int) -> str:
    return f"is larger than {limit // 1024} KiB, the most that is allowed"
