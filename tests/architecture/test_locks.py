"""The locks fit what the project asks for and can be installed anywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS: dict[str, list[str]] = {"runtime": [], "demo": ["demo"], "dev": ["demo", "dev"]}

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)", re.MULTILINE)


def _text(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def _pins(lock: str) -> dict[str, str]:
    return {canonicalize_name(pin["name"]): pin["version"] for pin in _PIN.finditer(_text(lock))}


def _asked_for(lock: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"])
    for group in LOCKS[lock]:
        listed = project["project"]["optional-dependencies"].get(group) or project["dependency-groups"][group]
        asked += [entry for entry in listed if isinstance(entry, str)]
    return [Requirement(entry) for entry in asked]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_a_fitting_version_of_every_dependency(lock: str) -> None:
    """A dependency that was added or raised in pyproject.toml is in the lock (`make lock`)."""
    pins = _pins(lock)
    for requirement in _asked_for(lock):
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is not in the lock"
        assert requirement.specifier.contains(pinned), f"{pinned} is locked, {requirement} is asked for"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_with_hashes_and_names_no_host(lock: str) -> None:
    """Every version has hashes, and nothing in the file depends on who wrote it."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", _text(lock), flags=re.MULTILINE)[1:]
    assert blocks
    for block in blocks:
        assert "--hash=sha256:" in block, block
    for line in _text(lock).splitlines():
        assert re.match(r"#|    --hash=sha256:[0-9a-f]{64}|    # |[a-z0-9.-]+==\S+", line), line
        assert "://" not in line


@pytest.mark.parametrize("lock", ["runtime", "demo"])
def test_everything_shipped_is_tested_in_the_same_version(lock: str) -> None:
    """The smaller locks are cuts of the development lock."""
    assert _pins(lock).items() <= _pins("dev").items()
