"""The log: one JSON object per line or one readable line, no secrets, and never a reason to stop."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import structlog

from remediator import log
from remediator.core.events import Event, Severity

CANARY = "s3cr3t-canary"


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    before = (root.handlers, root.level, logging.raiseExceptions)
    yield
    root.handlers, root.level, logging.raiseExceptions = before
    structlog.reset_defaults()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_what_every_line_has_first() -> None:
    """Time, severity, event, database, incident and mode lead; empty fields are left out."""
    stream = io.StringIO()
    log.configure("json", "debug", stream)
    log.LogObserver().emit(
        Event.INCIDENT_OPENED,
        used=96,
        because="full",
        mode="enforce",
        incident="i1",
        database="shop",
        user=None,
    )
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert list(record) == ["at", "severity", "event", "database", "incident", "mode", "used", "because"]
    assert record["severity"] == "error"
    assert record["event"] == "incident_opened"
    assert record["at"].endswith("Z")


@pytest.mark.parametrize("event", Event)
def test_every_event_has_its_severity_and_is_said_from_that_level_on(event: Event) -> None:
    """The level of the config decides what is said."""
    order = list(Severity)
    for level in order:
        stream = io.StringIO()
        log.configure("json", level.value, stream)
        log.LogObserver().emit(event, level="critical")
        said = logged(stream)
        if order.index(event.severity) >= order.index(level):
            assert said[0]["severity"] == event.severity
            assert said[0]["level"] == "critical"  # a field of the event, not its severity
        else:
            assert said == []


def test_auto_is_console_on_a_terminal_and_json_elsewhere() -> None:
    """A person's line begins with the time and names the event without quotes."""
    terminal, pipe = _Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        log.configure("auto", "info", stream)
        log.LogObserver().emit(Event.CYCLE, database="shop", level="normal")
    assert logged(pipe)[0]["database"] == "shop"
    shown = terminal.getvalue()
    assert not shown.startswith("{")
    assert "cycle" in shown
    assert "database" in shown
    assert "shop" in shown


def test_the_format_can_be_forced() -> None:
    """JSON on a terminal, console in a file."""
    terminal, pipe = _Terminal(), io.StringIO()
    log.configure("json", "info", terminal)
    log.LogObserver().emit(Event.CYCLE, database="shop")
    log.configure("console", "info", pipe)
    log.LogObserver().emit(Event.CYCLE, database="shop")
    assert logged(terminal)[0]["event"] == "cycle"
    assert not pipe.getvalue().startswith("{")


@pytest.mark.parametrize("length", range(6, len(CANARY)))
def test_a_secret_that_was_cut_with_its_text_is_masked(length: int) -> None:
    """Whoever cut it did not know what it was; the beginning of one tells much of it."""
    mask = log.Redactor([CANARY]).text
    assert mask(f"refused: {CANARY[:length]}... and more") == "refused: ********... and more"
    assert mask(f"refused: {CANARY[:length]} and more...") == f"refused: {CANARY[:length]} and more..."


def test_a_secret_that_repeats_itself_is_masked_from_its_beginning() -> None:
    """And what is no secret stays."""
    mask = log.Redactor(["hunter2hunter2hunter3"]).text
    assert mask("a hunter2hunter2...") == "a ********..."
    assert mask("hunters hunt ... hunter... end...") == "hunters hunt ... ********... end..."


def test_nothing_of_a_name_steers_the_terminal_or_begins_a_line() -> None:
    """A person's line stays one, whatever a role is called."""
    stream = io.StringIO()
    log.configure("console", "info", stream)
    log.LogObserver().emit(Event.CYCLE, database="a\x1b[2J\x9b1m\u202e\nfake", owners={"b\x1b[2J\nfake": 1})
    text = stream.getvalue()
    assert text.count("\n") == 1
    for live in ("\x1b[2J", "\x9b", "\u202e"):
        assert live not in text
    assert "a\\x1b[2J\\x9b1m\\u202e\\nfake" in text


def test_secrets_are_masked_by_key_by_value_and_in_urls() -> None:
    """However deep they are, and in the words of an error too."""
    stream = io.StringIO()
    log.configure("json", "info", stream, secrets=[CANARY, "abc"])
    log.LogObserver().emit(
        Event.CYCLE_FAILED,
        because=f"OperationalError: password {CANARY} is wrong",
        password="x",
        nested={"token": "y", "list": [f"postgresql://me:other-{CANARY}@db/x", ("postgresql://a:b@c/d",)]},
        dsn="postgresql://me@db/x",
        kept="abc is too short to be masked everywhere",
        number=7,
    )
    text = stream.getvalue()
    assert CANARY not in text
    assert "a:b@c" not in text
    record = logged(stream)[0]
    assert record["password"] == record["dsn"] == record["nested"]["token"] == "********"
    assert record["nested"]["list"][0] == "postgresql://me:********@db/x"
    assert record["because"] == "OperationalError: password ******** is wrong"
    assert record["kept"].startswith("abc")
    assert record["number"] == 7


def test_a_long_text_without_blanks_is_searched_in_no_time() -> None:
    """What a program prints is masked in the middle of an incident: nothing else may wait for it."""
    text = "a" * 40_000 + "://" + "b" * 40_000
    assert log.Redactor().text(text) == text
    assert log.Redactor().text(f"{text} postgresql://me:hidden@db") == f"{text} postgresql://me:********@db"


def test_a_longer_secret_is_masked_whole_when_it_contains_a_shorter_one() -> None:
    """No rest of it may be left over."""
    cleaned = log.Redactor(["hunter2", "hunter2-and-more"]).clean("hunter2-and-more")
    assert cleaned == "********"


@pytest.mark.parametrize(
    "repeat",
    [
        *(str, repr, json.dumps, quote, quote_plus, lambda secret: quote(secret, safe="")),
        *(lambda secret: secret.replace("'", "''"), lambda secret: secret.encode().hex()),
        *(lambda secret, n=n: b64encode(b"x" * n + secret.encode() + b":rest").decode() for n in range(4)),
    ],
)
def test_a_secret_is_masked_however_it_is_repeated(repeat: Callable[[str], str]) -> None:
    """Quoted, escaped, in a URL or a header; of base64 no more than its ends are left."""
    secret = "pa ss'wö\"rd/\\%with+lots"
    before, _, after = log.Redactor([secret]).text(f"before {repeat(secret)} after").partition("********")
    assert before.startswith("before ")
    assert after.endswith(" after")
    assert len(before) + len(after) < len("before '' after") + 16
    assert not any(piece in before + after for piece in (secret[:4], secret[-4:], "with", "lots"))


@pytest.mark.parametrize("form", ["json", "console"])
def test_libraries_speak_through_the_same_pipe(form: log.LogFormat) -> None:
    """Warnings under one event name with the library's own; below that, silence; secrets masked there too."""
    stream = io.StringIO()
    log.configure(form, "debug", stream, secrets=[CANARY])
    logging.getLogger("apscheduler").info("unimportant")
    logging.getLogger("urllib3").warning("retrying with %s", CANARY)
    shown = stream.getvalue()
    assert "unimportant" not in shown
    assert CANARY not in shown
    if form == "json":
        (record,) = logged(stream)
        assert (record["event"], record["logger"]) == ("library", "urllib3")
        assert record["message"] == "retrying with ********"


def test_a_traceback_shows_no_local_variables() -> None:
    """A password in a local must not end up in the log."""
    stream = io.StringIO()
    log.configure("json", "info", stream)

    def fails(secret: str) -> None:
        raise RuntimeError(f"failed with {len(secret)} characters")

    try:
        fails(CANARY)
    except RuntimeError:
        logging.getLogger("library").exception("oops")
    text = stream.getvalue()
    assert CANARY not in text
    assert "failed with 13 characters" in text
    assert "locals" not in text


def test_a_log_that_cannot_be_written_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """A closed pipe or a full disk is no reason to stop, for our lines and for libraries' alike."""
    for stream in (_Broken(), io.StringIO()):
        log.configure("json", "info", stream)
        if not isinstance(stream, _Broken):
            stream.close()
        log.LogObserver().emit(Event.CYCLE, database="shop")
        logging.getLogger("library").warning("oops")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


@pytest.mark.parametrize("way", ["log.configure()", "log.in_background(last_words=1).__enter__()"])
def test_no_standard_output_is_no_problem(way: str) -> None:
    """As for a process that was started with it closed."""
    code = f"import sys; from remediator import log; from remediator.core.events import Event; {way}"
    code += "; log.LogObserver().emit(Event.CYCLE); sys.exit(sys.stdout is not None)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_values_that_json_does_not_know_are_written_as_text() -> None:
    """Better a word than no line."""
    stream = io.StringIO()
    log.configure("json", "info", stream)
    log.LogObserver().emit(Event.CYCLE, path=Path("/x"), names={"set"})
    assert logged(stream)[0]["path"] == "/x"


def test_under_journald_each_line_carries_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only when our output really goes there."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log.configure("auto", "info", stream)
        for event in (Event.CYCLE, Event.LEVEL_CHANGED, Event.INCIDENT_OPENED):
            log.LogObserver().emit(event, database="shop")
        logging.getLogger("library").critical("oops")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert [line[:3] for line in lines] == ["<6>", "<4>", "<3>", "<2>"]
    assert json.loads(lines[0][3:])["event"] == "cycle"
    assert "_priority" not in "".join(lines)

    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    other = (tmp_path / "other").open("w+")
    with other:
        log.configure("auto", "info", other)
        log.LogObserver().emit(Event.CYCLE, database="shop")
        other.seek(0)
        assert other.read().startswith("{")


def test_the_last_configuration_counts() -> None:
    """Nothing is written twice."""
    first, second = io.StringIO(), io.StringIO()
    log.configure("json", "info", first)
    observer = log.LogObserver()
    log.configure("json", "info", second)
    observer.emit(Event.CYCLE, database="shop")
    log.LogObserver().emit(Event.CYCLE, database="shop")
    logging.getLogger("library").warning("oops")
    assert first.getvalue() == ""
    assert len(logged(second)) == 3
