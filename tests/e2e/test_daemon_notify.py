"""The real daemon tells real receivers what happens, and never waits for them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.daemon import Daemon, LeakingService, Record, ladder
from tests.testbed.receivers import HangingReceiver, HttpReceiver, MailReceiver
from tests.testbed.sessions import open_idle

pytestmark = pytest.mark.usefixtures("server")

ORDER = ("slots run out", "terminated", "relieved")


def telling(url: str, **more: Any) -> Record:
    """A config that tells somebody."""
    return {"notify": [{"name": "oncall", "url": url, **more}]}


def in_order(titles: list[str], parts: tuple[str, ...]) -> bool:
    """Whether titles with these parts come one after the other, whatever stands between them."""
    rest = iter(titles)
    return all(any(part in title for title in rest) for part in parts)


def waiting(daemon: Daemon) -> int:
    """How many messages the outbox's file holds."""
    with closing(sqlite3.connect(daemon.state_dir / "outbox.db")) as db:
        return int(db.execute("SELECT count(*) FROM message").fetchone()[0])


def test_a_leak_is_told_from_its_opening_to_its_relief(app: str, watch: str, tmp_path: Path) -> None:
    """Once each, in order, by webhook and by mail: what, why, what was done, what is left to do."""
    with HttpReceiver() as hook, MailReceiver() as mail:
        config = {
            "notify": [
                {"name": "oncall", "url": hook.url()},
                {"name": "team", "url": mail.url, "events": ["acted", "relieved"]},
            ]
        }
        with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=config) as daemon:
            with open_idle(app, 34, application_name="leaky"):
                daemon.wait_for("incident_closed")
                daemon.wait(lambda: in_order(hook.titles, ORDER), "the story")
            daemon.wait(lambda: any("relieved" in m["subject"] for m in mail.received), "the mail")
            identity = daemon.said("incident_opened")[0]["incident"]
            assert not daemon.said("notification_failed")
            assert daemon.terminate() == 0
            assert daemon.errors == ""
    (opened, acted, *_), relieved = hook.received, hook.received[-1]
    assert [m["type"] for m in (opened, acted, relieved)] == ["failure", "warning", "success"]
    assert len(hook.titles) == len(set(hook.titles))
    assert opened["title"].startswith("shop: slots run out, ")
    assert opened["title"].endswith("[critical, enforce]")
    looks = "Looks like: "
    for part in ("Why: ", looks, "Will be done: terminate sessions idle", f"Incident: {identity}", " UTC"):
        assert part in opened["message"]
    assert "of leaky; oldest idle for" in acted["message"]
    assert "DRY RUN" not in str(hook.received)
    subjects = [m["subject"].split()[1] for m in mail.received]
    assert list(dict.fromkeys(subjects)) == ["terminated", "relieved"]
    assert waiting(daemon) == 0


def test_a_restart_is_told_with_what_came_of_it(app: str, watch: str, tmp_path: Path) -> None:
    """Once it is verified, which takes a while."""
    worker = LeakingService("worker", tmp_path / "worker", app)
    policy = ladder("worker", terminate=False)
    with HttpReceiver() as hook:
        config = telling(hook.url())
        with Daemon(tmp_path / "daemon", watch, worker, policy=policy, config=config) as daemon:
            story = ("slots run out", "restarted worker: verified", "relieved")
            daemon.wait(lambda: in_order(hook.titles, story), "the story")


def test_a_dry_run_cannot_be_mistaken(app: str, watch: str, tmp_path: Path) -> None:
    """Its first words say so in every title, and whoever asked for the real thing only hears nothing."""
    with HttpReceiver() as hook, HttpReceiver() as other:
        config = {
            "notify": [
                {"name": "oncall", "url": hook.url()},
                {"name": "real", "url": other.url(), "modes": ["enforce"]},
            ]
        }
        daemon = Daemon(tmp_path / "daemon", watch, mode="dry-run", policy=ladder(), config=config)
        with daemon, open_idle(app, 34):
            daemon.wait_for("incident_relieved")
            daemon.wait(
                lambda: in_order(hook.titles, ("run out", "would terminate", "would be")), "the story"
            )
    assert all(title.startswith("DRY RUN - shop: ") for title in hook.titles)
    assert all("nothing is really done" in message["message"] for message in hook.received)
    assert other.received == []


def test_what_is_told_while_the_receiver_is_down_comes_when_it_is_up(
    app: str, watch: str, tmp_path: Path
) -> None:
    """In order and once, after an outage that was said once; and the actions did not wait for it."""
    hook = HttpReceiver()
    with Daemon(
        tmp_path / "daemon", watch, policy=ladder(), config=telling(hook.url("tok3n-hush"))
    ) as daemon:
        with open_idle(app, 34):
            daemon.wait_for("incident_relieved")
            failed = daemon.wait_for("notification_failed")
        assert failed["target"] == "oncall"
        assert "tok3n-hush" not in daemon.output
        assert hook.received == []
        with hook:
            daemon.wait(lambda: in_order(hook.titles, ORDER), "all of it")
            daemon.wait_for("notification_delivered")
        assert len(daemon.said("notification_failed")) == 1
        assert len(hook.titles) == len(set(hook.titles))


def test_a_receiver_that_hangs_holds_up_nothing(app: str, watch: str, tmp_path: Path) -> None:
    """The incident is relieved while the first message has not got through, and the end comes in time."""
    with HangingReceiver() as receiver:
        url = f"json://127.0.0.1:{receiver.port}/?rto=60"
        with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=telling(url)) as daemon:
            with open_idle(app, 34):
                daemon.wait_for("incident_relieved")
            daemon.wait(lambda: receiver.connections > 0, "an attempt")
            told = [line["event"] for line in daemon.events()]
            assert "notification_failed" not in told[: told.index("incident_relieved")]
            assert daemon.terminate(within=15.0) == 0
        assert waiting(daemon) > 0
        assert daemon.errors == ""


def test_what_waits_survives_a_crash(app: str, watch: str, tmp_path: Path) -> None:
    """Killed with messages that could not be delivered, it delivers them after its next start."""
    hook = HttpReceiver()
    with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=telling(hook.url())) as daemon:
        with open_idle(app, 34):
            daemon.wait_for("incident_relieved")
            daemon.wait(lambda: waiting(daemon) >= len(ORDER), "all of it in the outbox")
        daemon.kill()
        with hook:
            daemon.start()
            daemon.wait(lambda: in_order(hook.titles, ORDER), "all of it")
        assert len(hook.titles) == len(set(hook.titles))


def test_last_words_are_sent_before_the_end(watch: str, tmp_path: Path) -> None:
    """What the end itself is worth telling does not wait for the next start."""
    with HttpReceiver() as hook:
        config = telling(hook.url(), events=["started", "stopping"])
        with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=config) as daemon:
            assert daemon.terminate() == 0
        assert [title.split(" (")[0].split(", ")[0] for title in hook.titles] == [
            "remediator: started",
            "remediator: stops",
        ]


def test_a_reload_puts_others_in_the_place_of_those_who_were_told(
    app: str, watch: str, tmp_path: Path
) -> None:
    """Without a restart, and a URL that Apprise cannot use is refused without being shown."""
    daemon = Daemon(tmp_path / "daemon", watch, policy=ladder())
    with HttpReceiver() as first, HttpReceiver() as second, daemon:
        daemon.reload(telling(first.url()))
        daemon.wait_for("config_reloaded")
        daemon.reload(telling("jsom://hunter2-hush"))
        refused = daemon.wait_for("config_rejected")
        daemon.reload(telling(second.url("s3cret-hush")))
        daemon.wait_for("config_reloaded", times=2)
        with open_idle(app, 34):
            daemon.wait(lambda: in_order(second.titles, ORDER), "the story")
    assert 'did you mean "json://"?' in str(refused["because"])
    assert "hush" not in daemon.output
    assert first.received == []


@pytest.mark.parametrize("place", ["directory", "damaged"])
def test_an_outbox_that_cannot_be_used_costs_nothing_else(
    app: str, watch: str, tmp_path: Path, place: str
) -> None:
    """It is said once, and all is told nevertheless."""
    with HttpReceiver() as hook:
        daemon = Daemon(tmp_path / "daemon", watch, policy=ladder(), config=telling(hook.url()))
        if place == "directory":
            (daemon.state_dir / "outbox.db").mkdir()
        else:
            (daemon.state_dir / "outbox.db").write_bytes(b"no such thing as an outbox" * 200)
        with daemon, open_idle(app, 34):
            daemon.wait(lambda: in_order(hook.titles, ORDER), "the story")
            assert len(daemon.said("outbox_unusable")) == 1
        assert (daemon.state_dir / "outbox.db.damaged").exists() is (place == "damaged")
