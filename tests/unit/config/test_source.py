"""Files that are not the small text files they should be."""

from __future__ import annotations

import os
import socket
import tempfile
import tracemalloc
from importlib import import_module
from pathlib import Path

import pytest

from remediator.config import find, load
from remediator.errors import ConfigError

KIB = 1024


def refused(path: Path) -> str:
    """The line by which a document is refused as a whole."""
    with pytest.raises(ConfigError) as caught:
        load(path, {"PGHOST": "db"})
    (line,) = caught.value.problems
    return line


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    """With bounded memory."""
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.truncate(100 * KIB * KIB)
    tracemalloc.start()
    try:
        assert refused(path) == f"{path}: is larger than 256 KiB, the most that is allowed"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * KIB * KIB


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    """One byte more is not."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (256 * KIB - 1) + b"\n")
    assert load(path, {"PGHOST": "db"}).databases
    path.write_bytes(b"#" * (256 * KIB) + b"\n")
    assert "larger than" in refused(path)


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    """Nobody ever writes to it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert refused(path) == f"{path}: is a FIFO, not a regular file"


def test_directory_device_and_socket(tmp_path: Path) -> None:
    """Each by its name."""
    assert refused(tmp_path) == f"{tmp_path}: is a directory, not a regular file"
    assert refused(Path("/dev/zero")) == "/dev/zero: is a device, not a regular file"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert refused(tmp_path / "s").startswith(f"{tmp_path / 's'}: cannot be read: ")


def test_missing_and_impossible_paths(tmp_path: Path) -> None:
    """One printable line each."""
    assert refused(tmp_path / "none") == f"{tmp_path / 'none'}: cannot be read: no such file or directory"
    assert refused(Path("a\0b")) == "a?b: cannot be read: its path has a NUL in it"
    assert "\n" not in refused(tmp_path / "a\nb")


def test_a_path_from_the_environment_says_so(tmp_path: Path) -> None:
    """Nobody wonders where it came from."""
    missing = tmp_path / "none"
    with pytest.raises(ConfigError) as caught:
        load(missing, {"REMEDIATOR_CONFIG": str(missing)})
    assert caught.value.problems == (
        f"{missing}: cannot be read: no such file or directory (from $REMEDIATOR_CONFIG)",
    )


def test_a_file_of_somebody_else() -> None:
    """Who is refused, and whose it is; also when it is the directory that keeps us out."""
    us = 65534 if os.geteuid() == 0 else os.geteuid()
    with tempfile.TemporaryDirectory() as shared:
        path, inner = Path(shared, "config.yaml"), Path(shared, "closed")
        path.touch()
        path.chmod(0)
        inner.mkdir()
        inner.chmod(0)
        Path(shared).chmod(0o711)
        before = os.geteuid()
        os.seteuid(us)
        try:
            lines = [refused(path), refused(inner / "config.yaml")]
        finally:
            os.seteuid(before)
        inner.chmod(0o700)
    denied = f"cannot be read: permission denied; remediator runs as uid {us}"
    assert lines == [
        f"{path}: {denied}, the file belongs to uid {before}, mode 0000",
        f"{inner / 'config.yaml'}: {denied}, which may not enter its directory",
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x7fELF\0\0", "is binary, not UTF-8 text"),
        ("mode: enforce\n".encode("utf-16"), "is binary, not UTF-8 text"),
        (b"mode: enforce\n# caf\xe9\n", "is not UTF-8 text (line 2)"),
    ],
)
def test_what_is_not_text_is_refused(tmp_path: Path, data: bytes, text: str) -> None:
    """With the line, when there are lines."""
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    assert refused(path) == f"{path}: {text}"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    """Editors put them there."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfmode: enforce\r\nlog: {level: debug}\r\n")
    assert load(path, {"PGHOST": "db"}).log.level == "debug"


def test_find_prefers_the_command_line_then_the_environment_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order."""
    monkeypatch.chdir(tmp_path)
    env = {"REMEDIATOR_CONFIG": "/from/env.yaml"}
    assert find(Path("given.yaml"), env) == Path("given.yaml")
    assert find(None, env) == Path("/from/env.yaml")
    Path("config.yaml").touch()
    assert find(None, {}) == Path("config.yaml")


def test_find_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four places."""
    monkeypatch.chdir(tmp_path)
    module = import_module("remediator.config.load")
    monkeypatch.setattr(module, "_PLACES", (Path("config.yaml"), tmp_path / "etc.yaml"))
    with pytest.raises(ConfigError) as caught:
        find(None, {})
    assert caught.value.problems == (
        (
            "no configuration file: neither --config nor $REMEDIATOR_CONFIG, nor"
            f" ./config.yaml, {tmp_path / 'etc.yaml'}"
        ),
    )
