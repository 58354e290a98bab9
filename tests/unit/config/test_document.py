"""YAML that is hostile, surprising, or both; by libyaml's parser and by PyYAML's own."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from remediator.config.document import MAX_DEPTH, MAX_NODES, parse
from remediator.config.problems import Problems
from remediator.config.tree import plain
from remediator.errors import ConfigError

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest) -> Any:
    """Each parser that PyYAML may have on some machine."""
    return request.param


@pytest.mark.parametrize(
    "text", ["no", "on", "1:30", "010", "1e3", "0x10", "1_000", "2024-01-01", "=", "0.1"]
)
def test_a_value_is_the_text_that_was_written(text: str, loader: Any) -> None:
    """What YAML 1.1 takes for booleans, octals, times and dates."""
    problems = Problems("f")
    assert plain(parse(f"a: {text}\nb: [{text}]\n", problems, loader)) == {"a": text, "b": [text]}
    assert not problems


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "--- # nothing\n...\n"])
def test_an_empty_document_is_an_empty_mapping(text: str, loader: Any) -> None:
    """Everything has a default."""
    assert plain(parse(text, Problems("f"), loader)) == {}


def refused(text: str, loader: Any) -> str:
    """The line by which a document is refused as a whole."""
    with pytest.raises(ConfigError) as caught:
        parse(text, Problems("f"), loader)
    return caught.value.problems[-1]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("\tmode: x", "1:1"),
        ("services:\n\t- name: a", "2:1"),
        ("log:\n  level: info\n\tformat: json", "3:1"),
        ("# é😀\nlog:\n  - a\n\t- b", "4:1"),
    ],
)
def test_a_tab_is_called_a_tab(text: str, place: str, loader: Any) -> None:
    """Nobody sees it."""
    assert refused(text, loader) == f"f:{place}: not valid YAML: a tab; indent with spaces"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "{a: ["])
def test_deep_nesting_is_refused_without_following_it(opening: str, loader: Any) -> None:
    """Neither the parser nor the tree gets to overflow."""
    assert "nested more than 32 deep" in refused(opening * 5000, loader)


def test_nesting_up_to_the_limit_is_read(loader: Any) -> None:
    """The limit itself is allowed, one more is not."""
    deepest = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert plain(parse(f"a: {deepest}", Problems("f"), loader))
    assert "nested more" in refused(f"a: [{deepest}]", loader)


def test_too_many_values_are_refused(loader: Any) -> None:
    """Counted while reading, not afterwards."""
    assert refused("a: [" + "x, " * MAX_NODES + "]", loader).endswith("the most that is allowed")


def test_a_bomb_of_aliases_is_refused_where_it_starts(loader: Any) -> None:
    """No alias is ever followed."""
    problems = Problems("f")
    rows = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
    assert plain(parse("\n".join(rows), problems, loader)) == {}
    assert problems.error().problems[0].startswith("f:1:5: a0: anchors and aliases")


def test_what_is_wrong_is_left_out_and_the_rest_is_read(loader: Any) -> None:
    """One mistake does not hide the next."""
    problems = Problems("f")
    assert plain(parse("a: !x 1\nb: 2\nb: 3\n? [c]\n: 4\nd: [5, ~]\n", problems, loader)) == {
        "b": "2",
        "d": ["5"],
    }
    assert len(problems.error().problems) == 4


@pytest.mark.parametrize(
    "text",
    [
        "password: !hunter2 x",
        "password: &hunter2 x",
        "password: *hunter2",
        "password: !hunter2!x y",
        "password: {hunter2: x, hunter2: y}",
        "password: [hunter2, {hunter2: ~}]",
        'password: "\\hunter2"',
        "password: |hunter2",
        "password: %hunter2",
        "password: @hunter2",
        "password: 'hunter2",
        "password: hunter2: hunter2",
        "{password:hunter2}",
        "? password hunter2\n- x",
        "%hunter2 x\n---\n",
        "password: a\n hunter2: [",
    ],
)
def test_no_message_repeats_what_may_be_a_secret(text: str, loader: Any) -> None:
    """Neither the parser's words nor ours."""
    problems = Problems("f")
    raised: list[ConfigError] = []
    try:
        parse(text, problems, loader)
    except ConfigError as error:
        raised.append(error)
    assert "hunter2" not in str(problems.error())
    assert all(error.__suppress_context__ and error.__cause__ is None for error in raised)
