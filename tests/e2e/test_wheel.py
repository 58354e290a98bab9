"""The wheel and the source distribution, as somebody without the repository gets them."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.testbed.distribution import ROOT, RUNTIME_LOCK, distributions

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ("run", "check", "plan", "history", "doctor", "config", "pause", "resume", "ack", "health")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the locked dependencies and the wheel, nothing else."""
    venv = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(RUNTIME_LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-index", str(distributions().wheel)], check=True)
    return venv


def _run(venv: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment far from the repository, so that nothing is found by accident."""
    return subprocess.run(
        [venv / "bin" / program, *arguments],
        cwd=venv,
        env={"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _ran(venv: Path, program: str, *arguments: str) -> str:
    done = _run(venv, program, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_command_tells_its_version(installed: Path) -> None:
    """The version is that of the distribution's metadata, for the command and for the module alike."""
    version = distributions().wheel.name.split("-")[1]
    assert version in _ran(installed, "remediator", "--version").split()[-1]
    assert version in _ran(installed, "python", "-m", "remediator", "--version")


def test_dependencies_are_complete(installed: Path) -> None:
    """What the wheel declares is what the lock holds."""
    done = subprocess.run(
        [installed / "bin" / "python", "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_time_zones_are_known_where_the_system_has_none(installed: Path) -> None:
    """As in many a container."""
    look = "from remediator.recurrence import check_timezone; check_timezone('Europe/Berlin')"
    subprocess.run(
        [installed / "bin" / "python", "-c", look], env={"PYTHONTZPATH": ""}, check=True, timeout=60
    )


@pytest.fixture(scope="module")
def main_help(installed: Path) -> str:
    """What the program says of itself."""
    return _ran(installed, "remediator", "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(installed: Path, main_help: str, command: str) -> None:
    """Each command is listed by the main help and explains itself."""
    assert f"\n  {command} " in main_help
    assert _ran(installed, "remediator", command, "--help").startswith(f"Usage: remediator {command} ")


def test_the_schema_is_the_published_one(installed: Path) -> None:
    """Editors that take the schema from the installed program see what the documentation links."""
    published = json.loads((ROOT / "docs" / "reference" / "config.schema.json").read_text())
    assert json.loads(_ran(installed, "remediator", "config", "schema")) == published


def test_the_example_config_is_valid_for_the_installed_program(installed: Path) -> None:
    """The config that comes along in the source distribution is taken by the program in the wheel."""
    with tarfile.open(distributions().sdist) as archive:
        [name] = [n for n in archive.getnames() if n.endswith("/config.example.yaml")]
        file = archive.extractfile(name)
        assert file is not None
        (installed / "config.yaml").write_bytes(file.read())
    assert "valid (dry-run" in _ran(installed, "remediator", "config", "check", "--config", "config.yaml")


def test_the_queries_can_be_read_where_they_are_installed(installed: Path) -> None:
    """The SQL files are data, which a build that knows only modules would leave out."""
    source = ROOT / "remediator" / "adapters" / "postgres" / "queries"
    wanted = {path.name: path.read_bytes() for path in source.glob("*.sql")}
    [directory] = installed.glob("lib/python*/site-packages/remediator/adapters/postgres/queries")
    assert wanted
    assert {path.name: path.read_bytes() for path in directory.glob("*.sql")} == wanted
    assert _ran(installed, "python", "-c", "import remediator.adapters.postgres.queries") == ""


def test_the_status_page_comes_along_with_the_licence_of_what_is_not_ours() -> None:
    """Templates and what the browser gets are data too."""
    source = ROOT / "remediator" / "adapters" / "web"
    wanted = {str(p.relative_to(ROOT)) for kind in ("templates", "static") for p in (source / kind).iterdir()}
    with zipfile.ZipFile(distributions().wheel) as archive:
        assert wanted <= set(archive.namelist())
    assert {
        "remediator/adapters/web/static/uPlot.LICENSE.txt",
        "remediator/adapters/web/templates/page.html",
    } <= wanted


def test_the_template_of_audits_comes_along() -> None:
    """It is read only when somebody asks for a page."""
    with zipfile.ZipFile(distributions().wheel) as archive:
        assert "remediator/render/audit/templates/audit.html" in archive.namelist()


def test_the_wheel_holds_the_package_and_nothing_else() -> None:
    """Types come along; tests, tools and the repository's other files do not."""
    with zipfile.ZipFile(distributions().wheel) as archive:
        names = set(archive.namelist())
    assert "remediator/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "remediator",
        distributions().wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
    assert not [name for name in names if "test_" in name or "conftest" in name or name.endswith(".pyc")]


def test_the_source_distribution_holds_what_an_operator_needs() -> None:
    """The systemd unit and the example config come along; tests and examples do not."""
    with tarfile.open(distributions().sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for path in (ROOT / "systemd").iterdir():
        assert f"systemd/{path.name}" in names
    assert {"LICENSE", "README.md", "config.example.yaml", "pyproject.toml"} <= names
    allowed = ("remediator/", "systemd/")
    assert {n for n in names if not n.startswith(allowed) and "/" in n} == set()


def test_the_demo_says_what_it_lacks(installed: Path) -> None:
    """The daemon's install has neither servers nor pictures; one line tells how to get them."""
    done = _run(installed, "remediator", "demo", "--plain")
    assert done.returncode == 69
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert "pip install 'remediator[demo]'" in done.stderr
