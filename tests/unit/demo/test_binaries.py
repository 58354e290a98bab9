"""Where PostgreSQL's programs are looked for, and in which order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from remediator.demo import binaries
from remediator.errors import UnavailableError


def programs(directory: Path) -> Path:
    """Put the programs into a directory."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).touch(mode=0o755)
    return directory.resolve()


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nothing is installed."""
    monkeypatch.setattr(binaries, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(binaries, "_WHEEL", "no_such_package")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def test_nothing_installed_is_one_line_with_what_to_do() -> None:
    """Three ways out of it."""
    with pytest.raises(UnavailableError, match=r"remediator\[demo\].*PostgreSQL server.*--pg-bin") as caught:
        binaries.find_binaries(None)
    assert "\n" not in str(caught.value)


def test_the_order_of_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PATH is the last resort, then the system's newest, then the wheel; what is named beats all."""
    on_path = programs(tmp_path / "path")
    assert binaries.find_binaries(None) == on_path
    programs(tmp_path / "debian" / "9" / "bin")
    newest = programs(tmp_path / "debian" / "15" / "bin")
    assert binaries.find_binaries(None) == newest
    wheel = tmp_path / "site" / "some_wheel"
    older = programs(wheel / "pginstall" / "bin")
    (wheel / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(wheel.parent))
    monkeypatch.setattr(binaries, "_WHEEL", "some_wheel")
    assert binaries.find_binaries(None) == older
    assert binaries.find_binaries(programs(wheel / "pginstall18" / "bin")) == wheel / "pginstall18" / "bin"
    assert binaries.find_binaries(None) == wheel / "pginstall18" / "bin"
    assert "some_wheel" not in sys.modules


def test_a_named_directory_without_the_programs_is_refused(tmp_path: Path) -> None:
    """Even when others would be found elsewhere."""
    programs(tmp_path / "path")
    with pytest.raises(UnavailableError, match="does not hold postgres and initdb"):
        binaries.find_binaries(tmp_path)


def test_a_failing_program_is_told_with_its_last_words(tmp_path: Path) -> None:
    """One line, whatever the program has written."""
    shell = ["/bin/sh", "-c", "echo first >&2; echo second >&2; exit 3"]
    with pytest.raises(UnavailableError, match=r"^/bin/sh exited 3: first second$"):
        binaries.run_program(shell, binaries.ServerUser(), tmp_path)


def test_a_program_without_a_version_is_refused(tmp_path: Path) -> None:
    """Something else that is called postgres."""
    impostor = programs(tmp_path / "path") / "postgres"
    impostor.write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(UnavailableError, match="does not tell its version: hello"):
        binaries.major_version(impostor.parent, binaries.ServerUser())


def test_only_root_runs_servers_as_somebody_else() -> None:
    """PostgreSQL refuses root and nobody else."""
    user = binaries.server_user()
    if os.geteuid() == 0:
        assert user.uid
        assert user.groups == ()
    else:
        assert user == binaries.ServerUser(None, None)
        assert user.groups is None
