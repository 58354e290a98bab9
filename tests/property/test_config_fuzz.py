"""Whatever a configuration file holds: settings, or mistakes by the line; never a traceback or a secret."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from remediator.config import Settings, load, schema, show
from remediator.errors import ConfigError

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_bytes()
CANARY = "kAnArY7"
ENV = {"PGHOST": "db", "SET": CANARY, "DATABASE_URL": ""}
KEYS = sorted({key for node in [schema(), *schema()["$defs"].values()] for key in node["properties"]})
BOUNDED = settings(
    max_examples=200, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.too_slow]
)
SECRET = ("dsn", "password", "password_file")


def outcome(data: bytes) -> tuple[str, ...]:
    """What is reported, empty when the file loads; anything but ConfigError fails the test."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config.yaml")
        path.write_bytes(data)
        lines: tuple[str, ...] = ()
        try:
            loaded = load(path, ENV)
        except ConfigError as error:
            lines = error.problems
        else:
            # What is shown must at least be readable again.
            assert load_text(path, show(loaded)).services == loaded.services
    for line in lines:
        assert line.startswith((str(path), "environment: "))
        assert line.isprintable()
        assert len(line) < 600
    return lines


def load_text(path: Path, text: str) -> Settings:
    """Load this text in place of the file's."""
    path.write_text(text, encoding="utf-8")
    return load(path, ENV)


@BOUNDED
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Binary, broken encodings, nothing at all."""
    outcome(data)


@BOUNDED
@given(st.text(alphabet="abc:-[]{}&*!|>'\"%@`#,?~<= \n\t0$é\u2028\ufeff", max_size=80))
def test_text_made_of_yaml_s_own_characters(text: str) -> None:
    """Where YAML's own parser has its corners."""
    outcome(text.encode())


@BOUNDED
@given(st.integers(0, len(EXAMPLE)), st.integers(0, 40), st.binary(max_size=12))
def test_the_example_with_a_piece_replaced(start: int, length: int, piece: bytes) -> None:
    """What a slip of the hand or a bad merge makes of a good file."""
    outcome(EXAMPLE[:start] + piece + EXAMPLE[start + length :])


WORDS = st.sampled_from(
    ["none", "true", "5s", "50%", "3", "1 per 1h", "enforce", "default", "a", "", "${SET}", "${X:-y}", "$"]
) | st.text(max_size=8)
TREES = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=6)
    ),
    max_leaves=25,
)


@BOUNDED
@given(st.dictionaries(st.sampled_from(list(schema()["properties"])), TREES, max_size=8))
def test_any_tree_with_the_right_keys(tree: dict[str, Any]) -> None:
    """Right words in wrong places; values from the environment are never repeated."""
    lines = outcome(yaml.safe_dump(tree, allow_unicode=True).encode())
    assert not any(CANARY in line for line in lines)


# What surrounds the canary makes the value wrong in as many ways as possible.
AROUND = st.text(alphabet="ab:@/?#%='\\ &$1[]{},", max_size=12)


@BOUNDED
@given(st.sampled_from(SECRET), AROUND, AROUND, st.sampled_from(["", "postgresql://u:", "host=h password="]))
def test_no_secret_is_ever_reported(key: str, before: str, after: str, scheme: str) -> None:
    """Under every key that holds one, quoted or not, whole or in pieces."""
    secret = f"{scheme}{before}{CANARY}{after}".replace("$", "$$")
    # A file's absolute path is no secret, and is told.
    assume(key != "password_file" or not secret.lstrip(" '").startswith("/"))
    for value in (secret, [secret], {secret: secret}):
        tree = {"databases": [{"name": "a", key: value, "connect": {"timeout": "5"}}]}
        lines = outcome(yaml.safe_dump(tree, allow_unicode=True).encode())
        assert lines
        assert not any(CANARY in line for line in lines)
    # As people write it, which YAML may well read as something else.
    raw = f"databases:\n  - name: a\n    {key}: {secret}\n    bad: 1\n"
    assert not any(CANARY in line for line in outcome(raw.encode()))
