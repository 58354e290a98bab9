"""Apprise against real receivers, what its URLs may be, and the commands that try them."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediator.adapters.notify import service_of, url_fault
from remediator.adapters.notify.sender import send
from remediator.core.notice import DEFAULT_KINDS, KINDS, Tone
from tests.testbed.daemon import Daemon
from tests.testbed.receivers import HttpReceiver, MailReceiver, free_port

# Apprise looks whether the standard library has it still.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "notifications.md"
NOWHERE = "host=127.0.0.1 port=1 user=nobody"


class Root(logging.Handler):
    """Where the daemon's log listens to libraries."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take note."""
        self.said.append(record.getMessage())


@pytest.fixture
def root() -> Iterator[Root]:
    """Told what reaches the root of all loggers, however little it is."""
    handler, apprise = Root(), logging.getLogger("apprise")
    logging.getLogger().addHandler(handler)
    before = apprise.level
    apprise.setLevel(logging.DEBUG)
    yield handler
    apprise.setLevel(before)
    logging.getLogger().removeHandler(handler)


def test_a_webhook_gets_title_body_and_tone() -> None:
    """As JSON."""
    with HttpReceiver() as hook:
        assert send(hook.url(), "title", "one\ntwo", Tone.ALARM).delivered
    assert [(m["title"], m["message"], m["type"]) for m in hook.received] == [
        ("title", "one\ntwo", "failure")
    ]


def test_an_incoming_webhook_of_a_chat_gets_one_message() -> None:
    """Mattermost's take what Slack's do."""
    with HttpReceiver() as hook:
        assert send(
            hook.url("3ccdd113474722377935511fc85d3dd4", "mmost"), "title", "body", Tone.CALM
        ).delivered
    (message,) = hook.received
    assert "title" in message["text"]
    assert "body" in message["text"]


def test_a_mail_has_the_title_as_its_subject_and_keeps_its_lines() -> None:
    """Plain text, with a wide character in it."""
    with MailReceiver() as mail:
        assert send(mail.url, "title", "one \u203a\ntwo", Tone.WARNING).delivered
    (message,) = mail.received
    assert message["subject"] == "title"
    assert message.get_content().splitlines() == ["one \u203a", "two"]


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_a_refusal_is_a_failure_with_a_reason(status: int) -> None:
    """In the service's words."""
    with HttpReceiver(status) as hook:
        sent = send(hook.url(), "title", "body", Tone.NEWS)
    assert not sent.delivered
    assert "JSON" in sent.because


def test_nobody_there_is_a_failure_and_nothing_of_it_reaches_the_log(
    root: Root, capfd: pytest.CaptureFixture[str]
) -> None:
    """Apprise's own words may hold a part of the URL."""
    for url in (
        f"json://127.0.0.1:{free_port()}/hunter2",
        f"mailto://u:hunter2@127.0.0.1:{free_port()}?from=a@b.cd&to=a@b.cd",
    ):
        sent = send(url, "title", "body", Tone.NEWS)
        assert not sent.delivered
        assert "onnection" in sent.because
    assert "hunter2" not in "".join((*root.said, *capfd.readouterr()))
    logging.getLogger("another").warning("heard")
    assert root.said[-1] == "heard"


def test_what_a_service_says_is_masked() -> None:
    """Whatever it repeats."""
    sent = send(
        "json://127.0.0.1.hunter2.invalid/", "title", "body", Tone.NEWS, lambda t: t.replace("hunter2", "*")
    )
    assert not sent.delivered
    assert "hunter2" not in sent.because


def test_sending_leaves_no_thread_that_could_hold_up_our_end() -> None:
    """Those of an executor are waited for by the interpreter."""
    with HttpReceiver() as hook:
        send(hook.url(), "title", "body", Tone.NEWS)
    assert not [t.name for t in threading.enumerate() if "ThreadPoolExecutor" in t.name]


WRONG = {
    "hunter2": "is not a URL; write it as Apprise does",
    "jsom://hunter2": 'does not begin like any service that Apprise knows; did you mean "json://"?',
    "zzzzzzzz://hunter2": "does not begin like any service that Apprise knows; they are listed at https://",
    "slack://hunter2": "is not what Apprise needs for Slack; its form is described at https://",
    "json://": "is not what Apprise needs for JSON; its form is described at https://",
    "windows://": "is for Windows Notification, which cannot be used here",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_cannot_be_used_is_explained_without_any_of_it(url: str, root: Root) -> None:
    """Neither in the message nor in a log."""
    fault = url_fault(url)
    assert fault.startswith(WRONG[url])
    assert "hunter2" not in "".join((fault, *root.said))
    assert service_of(url) == ""


def test_each_url_of_the_page_is_one_that_apprise_understands() -> None:
    """Those of the table; the dots of Slack's stand for what Slack fills in."""
    table = PAGE.read_text().partition("| service | URL |")[2].partition("\n\n")[0]
    urls = re.findall(r"`(\w+://[^`]+)`", table)
    assert len(urls) == 4
    for url in urls:
        assert url_fault(url.replace("...", "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")) == "", url


def test_the_page_lists_each_kind_and_whether_it_is_told_by_default() -> None:
    """Word for word as the config knows them."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (yes)? *\|", PAGE.read_text(), re.MULTILINE)
    listed = {word: bool(default) for words, default in rows for word in re.findall(r"\w+", words)}
    assert listed == {word: word in DEFAULT_KINDS for word in KINDS}


def test_notify_test_tells_what_came_of_each(tmp_path: Path) -> None:
    """Past outbox, events and modes; the exit code says whether all were delivered."""
    with HttpReceiver() as up, HttpReceiver(500) as broken:
        config = {
            "notify": [
                {"name": "up", "url": up.url(), "modes": "enforce", "events": "held"},
                {"name": "broken", "url": broken.url("t0ken-hush")},
            ]
        }
        daemon = Daemon(tmp_path, NOWHERE, mode="dry-run", config=config)
        both, one, nobody = (daemon.run("notify", "test", *name) for name in ([], ["up"], ["upp"]))
        assert both.returncode == 1
        assert both.stdout.splitlines()[0] == "up: delivered"
        assert both.stdout.splitlines()[1].startswith("broken: not delivered: ")
        assert (one.returncode, one.stdout) == (0, "up: delivered\n")
        assert nobody.returncode == 64
        assert "no target has this name; defined: up, broken" in nobody.stderr
    assert up.titles == ["DRY RUN - remediator: a test, nothing has happened"] * 2
    assert "hush" not in both.stdout + both.stderr
    assert not list(daemon.state_dir.iterdir())
    none = Daemon(tmp_path / "none", NOWHERE).run("notify", "test")
    assert (none.returncode, none.stdout) == (1, "the config has no `notify`: there is nobody to send to\n")


def test_doctor_looks_at_targets_and_at_the_outbox(tmp_path: Path) -> None:
    """Without telling anybody."""
    with HttpReceiver() as hook:
        config = {
            "notify": [
                {"name": "oncall", "url": hook.url("t0ken-hush")},
                {"name": "real", "url": hook.url(), "modes": ["enforce"]},
            ]
        }
        daemon = Daemon(tmp_path, NOWHERE, mode="dry-run", config=config)

        def told() -> dict[str, tuple[str, str]]:
            lines = daemon.run("doctor", "--format", "json").stdout.splitlines()
            found = [json.loads(line) for line in lines]
            return {f["subject"].split("/")[0].strip(): (f["grade"], f["text"]) for f in found}

        found = told()
        assert found["notify oncall"] == ("ok", "understood (JSON); `remediator notify test oncall` tries it")
        assert found["notify real"] == ("warning", "is told nothing in dry-run; add it to its modes")
        assert found["outbox"] == ("ok", "usable, 0 messages waiting")
        (daemon.state_dir / "outbox.db").write_text("nothing of the sort" * 100)
        assert told()["outbox"][0] == "warning"
        assert hook.received == []


def test_a_url_that_apprise_cannot_use_is_a_mistake_in_the_config(tmp_path: Path) -> None:
    """With its place, and without the URL; from a file too."""
    (tmp_path / "url").write_text("slack://hunter2\n")
    (tmp_path / "url").chmod(0o600)
    config = {
        "notify": [
            {"name": "a", "url": "jsom://hunter2"},
            {"name": "b", "url_file": str(tmp_path / "url")},
        ]
    }
    daemon = Daemon(tmp_path / "daemon", NOWHERE, config=config)
    for command in (["config", "check"], ["run", "--once"], ["doctor"], ["notify", "test"]):
        done = daemon.run(*command)
        assert done.returncode == 78, command
        first, second = done.stderr.splitlines()
        assert re.search(r'config\.yaml:\d+:\d+: notify\[0\]\.url: does not begin .* "json://"\?$', first)
        assert re.search(
            r"config\.yaml:\d+:\d+: notify\[1\]\.url_file: is not what Apprise needs for Slack", second
        )
        assert "hunter2" not in done.stdout + done.stderr
    shown = daemon.run("config", "show").stdout  # does not look into it
    assert "hunter2" not in shown
    assert "url: '********'" in shown
