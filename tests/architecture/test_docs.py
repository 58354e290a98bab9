"""What the pages say can be done, can be done: commands, links, configs, promises with their tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import click
import pytest

from remediator.cli import cli
from remediator.config import load

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in {"build", "dist"} for part in path.relative_to(ROOT).parts)
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SHELL = {"sh", "crontab"}
_CRON_FIELDS = 6
# What may stand before a command: a service of Compose, another user.
_PREFIXES = (["docker", "compose", "exec"], ["sudo", "-u"], ["runuser", "-u"])


def name_of(path: Path) -> str:
    """A page's path as the project knows it."""
    return str(path.relative_to(ROOT))


def blocks(text: str, *languages: str) -> Iterator[str]:
    """The code blocks in one of these languages."""
    for language, code in _BLOCK.findall(text):
        if language in languages:
            yield code


def shell_commands(text: str) -> Iterator[list[str]]:
    """Every simple command of a page's shell blocks and crontabs, in words."""
    for language in _SHELL:
        for code in blocks(text, language):
            for line in code.replace("\\\n", " ").splitlines():
                if language == "crontab":
                    line = line.split(maxsplit=_CRON_FIELDS)[-1]  # noqa: PLW2901  without when and who
                for part in re.split(r"\|\|?|&&|;|\$\(|\)", line):
                    yield words_of(part)


def words_of(command: str) -> list[str]:
    """A simple command without what stands before and behind it."""
    command = re.sub(r"\d?>&?\s*\S+", "", command)
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # half of something quoted, which is an argument
        return []
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    for prefix in _PREFIXES:
        if words[: len(prefix)] == prefix:
            words = [word for word in words[len(prefix) + 1 :] if word != "--"]
    return words


def remediator_commands(text: str) -> Iterator[list[str]]:
    """The arguments of every call of ours, in code blocks and within sentences."""
    for words in shell_commands(text):
        if words and PurePosixPath(words[0]).name == "remediator":
            yield words[1:]
        if words[:2] == ["make", "demo"] and words[2:]:
            yield ["demo", *words[2].removeprefix("ARGS=").split()]
    prose = _BLOCK.sub("", text)
    for code in re.findall(r"`remediator ([^`]+)`", prose):
        yield shlex.split(code)


def parse(arguments: Sequence[str]) -> None:
    """Let click parse a command line as it would to run it.

    Raises:
        click.UsageError: There is no such command or option, or its value is no such thing.
    """
    command: click.Command = cli
    context = cli.make_context("remediator", list(arguments))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]  # noqa: SLF001  no other way to parse without running
        if not rest and command.invoke_without_command:
            return
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(command.name or "", rest, parent=context)


def anchors(page: Path) -> set[str]:
    """What a link into a page may point at, as GitHub names headings."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_is_something_to_look_at() -> None:
    """The other tests of this module are not about nothing."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert len(PAGES) > 20
    assert sum(len(list(remediator_commands(text))) for text in texts) > 40
    assert sum(len(_LINK.findall(text)) for text in texts) > 60
    assert len(TARGETS) > 5


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_exists_with_its_options(page: Path) -> None:
    """Whoever copies a line from a page does not get a usage error."""
    for arguments in remediator_commands(page.read_text(encoding="utf-8")):
        try:
            parse(arguments)
        except click.exceptions.Exit:
            continue  # --help and --version end here
        except click.UsageError as error:
            pytest.fail(f"remediator {' '.join(arguments)}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    """The same for make."""
    text = page.read_text(encoding="utf-8")
    named = [words[1] for words in shell_commands(text) if words[:1] == ["make"] and len(words) > 1]
    named += re.findall(r"`make ([a-z]+)", _BLOCK.sub("", text))
    assert set(named) <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    """Files, and headings in them."""
    for link in _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_the_config_that_is_shown_first_is_the_one_to_begin_with() -> None:
    """What the README shows is what the installation copies, but for the line that says what it is."""
    (shown,) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "yaml")
    comment, _, installed = (ROOT / "systemd" / "config.yaml").read_text(encoding="utf-8").partition("\n")
    assert comment.startswith("#")
    assert installed == shown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_whole_config_is_valid(page: Path, tmp_path: Path) -> None:
    """A block that begins with the version is a config that can be used as it stands."""
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("secret")
    for code in blocks(page.read_text(encoding="utf-8"), "yaml"):
        if code.lstrip().startswith("version:"):
            config = tmp_path / "config.yaml"
            config.write_text(re.sub(r"password_file: \S+", f"password_file: {password}", code))
            assert load(config, {}).databases


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_is_named_exists(page: Path) -> None:
    """A promise names the test that shows it."""
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8")):
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *(async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_says_why_what_and_what_follows(page: Path) -> None:
    """One form for all, a number of its own, and a line in the list."""
    text = page.read_text(encoding="utf-8")
    number = page.name[:4]
    assert text.startswith(f"# {number} ")
    for heading in ("## Context", "## Decision", "## Consequences"):
        assert heading in text, heading
    assert [other.name[:4] for other in DECISIONS].count(number) == 1
    assert f"({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")


def test_every_promise_has_a_test_a_figure_and_an_end() -> None:
    """No cell of the table of promises is empty."""
    text = (ROOT / "docs" / "safety-model.md").read_text(encoding="utf-8")
    promises = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| **")]
    assert len(promises) >= 30
    for promise, shown_by, measured, ends in promises:
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", shown_by), promise
        assert re.search(r"\w", measured), promise
        assert re.search(r"\w", ends), promise
        assert "@" not in measured, promise
