"""What commands print: whatever strangers called themselves, it is seen and does nothing else."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.cli.common import json_text, print_json, print_lines, say
from remediator.render.markdown import as_text

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202etxt.exe\u2028\r\nlevel: normal"


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_is_read_as_it_was_and_every_sign_of_it_is_seen(record: object) -> None:
    """C1 and marks of direction are escaped like the rest, on one line."""
    text = json_text(record)
    assert text.isprintable()
    assert json.loads(text) == record


def test_letters_of_any_language_stay_as_they_are() -> None:
    """Only what cannot be seen is escaped."""
    assert json_text({"who": "J\u00fcrgen \u65e5\u672c"}) == '{"who": "J\u00fcrgen \u65e5\u672c"}'


def test_a_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    """On both streams, with and without a mark before it."""
    print_lines([HOSTILE])
    say(HOSTILE, mark=("ok", "green"))
    print_json([{"who": HOSTILE}])
    say(HOSTILE, err=True)
    shown = capsys.readouterr()
    assert [line.isprintable() for line in shown.out.split("\n")] == [True] * 4
    assert shown.out.count("\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\x7f\\u202etxt.exe\\u2028\\r\\n") == 2
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["[x](http://evil.example)", "![x](https://evil.example/x.png)", "www.evil.example", "a|b", "<b>"]
)
def test_in_markdown_a_name_is_no_link_and_no_image(name: str) -> None:
    """It is written so that it is shown as it is."""
    text = as_text(name)
    for live in (r"\]\(", "://", r"www\.", "<b>", r"\|"):
        assert not re.search(rf"(?<!\\){live}", text)
    assert text.replace("\\", "") == name
