"""The shape that the project promises: what may import what, how long things get, who reads the clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter import configuration
from importlinter.application import use_cases

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "remediator").rglob("*.py"))
CORE = sorted((ROOT / "remediator" / "core").rglob("*.py"))
LINES_OF_A_MODULE = 300
LINES_OF_A_FUNCTION = 50
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}
configuration.configure()
CONTRACTS = use_cases.read_user_options(str(ROOT / "pyproject.toml")).contracts_options


def name_of(path: Path) -> str:
    """A module's path as the project knows it."""
    return str(path.relative_to(ROOT))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=name_of(path))


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["name"])
def test_import_contract(contract: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """The contracts of pyproject.toml are kept."""
    monkeypatch.chdir(ROOT)
    options = use_cases.read_user_options(str(ROOT / "pyproject.toml"))
    options.contracts_options = [contract]
    use_cases._register_contract_types(options)  # noqa: SLF001  done by its command, not by its report
    report = use_cases.create_report(options, cache_dir=None)
    broken = [check.metadata for _, check in report.get_contracts_and_checks() if not check.kept]
    assert report.module_count > 20
    assert not report.could_not_run
    assert not broken, f"{contract['name']}: {broken}"


def test_there_is_something_to_look_at() -> None:
    """The other tests of this module are not about nothing."""
    assert len(MODULES) > 20
    assert len(CORE) > 8
    assert len(CONTRACTS) > 3


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short_says_what_it_is_and_postpones_annotations(path: Path) -> None:
    """One that grows past the limit wants another module."""
    text = path.read_text(encoding="utf-8")
    tree = parse(path)
    assert len(text.splitlines()) <= LINES_OF_A_MODULE
    assert ast.get_docstring(tree)
    futures = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    imported = {alias.name for future in futures for alias in future.names}
    assert "annotations" in imported or len(tree.body) == 1


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    """One that grows past the limit does more than one thing."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= LINES_OF_A_FUNCTION, (
                f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines"
            )


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_reads_no_clock(path: Path) -> None:
    """The time is an argument, so that every decision can be repeated."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = node.func.value
            what = getattr(receiver, "id", getattr(receiver, "attr", ""))
            reads = node.func.attr in CLOCKS and what in {"datetime", "date", "time"}
            assert not reads, f"{name_of(path)}:{node.lineno} reads the clock"


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_does_nothing_but_compute(path: Path) -> None:
    """No coroutine waits, no file is opened and nothing is printed in it."""
    for node in ast.walk(parse(path)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}, name_of(path)


def test_the_values_of_the_core_are_frozen_and_slotted() -> None:
    """What was decided on cannot change behind the decision."""
    found = 0
    for path in CORE:
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "dataclass":
                    given = {k.arg for k in decorator.keywords if getattr(k.value, "value", False) is True}
                    assert {"frozen", "slots"} <= given, f"{name_of(path)}:{node.lineno} {node.name}"
                    found += 1
                assert getattr(decorator, "id", "") != "dataclass", (
                    f"{name_of(path)}:{node.lineno} {node.name}"
                )
    assert found > 20


def test_commands_print_in_one_place() -> None:
    """There, and only there, is seen to what strangers chose."""
    commands = [path for path in MODULES if path.parent.name == "cli"]
    assert len(commands) > 8
    echoing = {path.name for path in commands if "click.echo" in path.read_text(encoding="utf-8")}
    assert echoing == {"common.py"}
