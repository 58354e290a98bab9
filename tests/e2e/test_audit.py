"""`remediator audit` and the daemon's own audits, as real processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.testbed.daemon import Daemon
from tests.testbed.roles import create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.conftest import MakePostgres


WORKER: dict[str, Any] = {
    "name": "worker",
    "command": {"restart": ["true"], "inspect": ["echo", "1"]},
    "sessions": {"applications": ["leaky"]},
}
NOW = ("--watch", "0s")


def test_it_says_writes_keeps_and_compares(watch: str, app: str, tmp_path: Path) -> None:
    """Each form by the file's suffix; what has changed since the one that was kept."""
    policy = {"remediate": {"steps": [{"terminate_idle": {"older_than": "1ms"}}]}}
    daemon = Daemon(tmp_path, watch, config={"services": [WORKER]}, policy=policy, mode="dry-run")
    outputs = [tmp_path / f"health.{suffix}" for suffix in ("txt", "json", "md", "html")]
    options = [word for path in outputs for word in ("--output", str(path))]
    with open_idle(app, 1):
        first = daemon.run("audit", *NOW, "--keep", *options)
    assert (first.returncode, first.stderr) == (1, "")
    changes = json.loads(first.stdout)["databases"][0]["changes"]
    assert "unattributed" not in first.stdout.partition('"findings"')[2], "its own session is no stranger's"
    assert "remediator itself" in outputs[0].read_text()
    assert changes == {"since": None, "lines": [], "not_looked_at": []}
    starts = ["shop, ", '{"schema": 1, "kind": "audit"', "# Audit of shop", "<!doctype html>"]
    assert [path.read_text().startswith(start) for path, start in zip(outputs, starts, strict=True)] == [
        True
    ] * 4

    with open_idle(app, 13):
        second = daemon.run("audit", *NOW, "--format", "text")
    assert "+12 idle sessions of worker, 13 now" in second.stdout
    assert "new: leaked_sessions (worker)" in second.stdout

    (kept,) = (daemon.state_dir / "audits").iterdir()
    kept.write_text("{")
    third = daemon.run("audit", *NOW)
    assert json.loads(third.stdout)["databases"][0]["changes"]["since"] is None
    assert f"{kept}: Expecting property name" in third.stderr


def test_a_comparison_that_cannot_be_made_costs_no_audit(watch: str, tmp_path: Path) -> None:
    """It is printed and written all the same; only what was to be kept could not be."""
    daemon = Daemon(tmp_path, watch, mode="dry-run")
    (daemon.state_dir / "audits").write_text("in the way")
    page = tmp_path / "health.html"
    done = daemon.run("audit", *NOW, "--fail-on", "problem")
    assert (done.returncode, json.loads(done.stdout)["kind"]) == (0, "audit")
    assert "cannot read: Not a directory; not compared with an earlier audit" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    kept = daemon.run("audit", *NOW, "--keep", "--output", str(page))
    assert (kept.returncode, json.loads(kept.stdout)["kind"]) == (74, "audit")
    assert page.read_text().startswith("<!doctype html>")
    assert "cannot keep an audit" in kept.stderr


def test_a_server_that_cannot_be_read_loses_no_findings(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """They count as not looked at, and the next audit that can look compares with the last such."""
    server = make_postgres(16)
    daemon = Daemon(tmp_path, create_watch_role(server), mode="dry-run")
    daemon.run("audit", *NOW, "--keep")
    (first,) = (daemon.state_dir / "audits").iterdir()
    first.rename(first.with_name("20200101T000000Z.json"))
    server.stop()
    (blind,) = json.loads(daemon.run("audit", *NOW, "--keep").stdout)["databases"]
    assert "new: unreadable (server)" in blind["changes"]["lines"]
    assert {"id": "keepalives_off", "subject": "server"} in blind["changes"]["not_looked_at"]
    assert not [line for line in blind["changes"]["lines"] if line.startswith("gone")]
    server.start()
    (seen,) = json.loads(daemon.run("audit", *NOW).stdout)["databases"]
    assert "1 audit since then could not read the server" in seen["changes"]["lines"]
    assert not [line for line in seen["changes"]["lines"] if line.startswith(("new", "gone", "not looked"))]


def test_the_page_in_a_browser(watch: str, app: str, browser: Browser, tmp_path: Path) -> None:
    """Nothing is asked for, nothing runs, nothing sticks out on a phone; it is dark where that is wanted."""
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    policy = {"remediate": {"steps": [{"terminate_idle": {"older_than": "1ms"}}]}}
    daemon = Daemon(tmp_path, watch, config={"services": [WORKER]}, policy=policy, mode="dry-run")
    path = tmp_path / "health.html"
    with open_idle(app, 3, application_name=hostile):
        daemon.run("audit", *NOW, "--output", str(path))
    page = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme="dark")
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    assert (asked, said) == ([path.as_uri()], [])
    assert page.locator("article").count() >= 3
    assert page.get_by_text(hostile[:63]).count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    widths = page.eval_on_selector_all(".bar", "bars => bars.map(bar => bar.getBoundingClientRect().width)")
    assert max(widths) > 20
    cells = "cells => cells.map(cell => cell.getBoundingClientRect().width)"
    assert min(page.eval_on_selector_all("td:not(.number)", cells)) > 60, "wide enough for words"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.close()


def test_the_exit_code_is_what_was_asked_for(watch: str, tmp_path: Path) -> None:
    """The worst finding, unless that is not to count; not known is its own."""
    daemon = Daemon(tmp_path, watch, mode="dry-run")
    assert daemon.run("audit", *NOW, "--fail-on", "warning").returncode == 1
    assert daemon.run("audit", *NOW, "--fail-on", "problem").returncode == 0
    down = Daemon(tmp_path / "down", "postgresql://nobody@127.0.0.1:9/none", mode="dry-run")
    assert down.run("audit", *NOW).returncode == 3
    assert down.run("audit", *NOW, "--fail-on", "never").returncode == 0
    assert daemon.run("audit", "--output", "health.pdf").returncode == 64
    unwritable = daemon.run("audit", *NOW, "--output", str(tmp_path / "none" / "health.md"))
    assert (unwritable.returncode, unwritable.stderr.count("\n")) == (74, 1)


def test_nothing_is_changed_without_keep(watch: str, tmp_path: Path) -> None:
    """Not even where nothing was kept before."""
    daemon = Daemon(tmp_path, watch, mode="dry-run")
    daemon.run("audit", *NOW)
    assert not list(daemon.state_dir.iterdir())


def test_the_daemon_makes_up_for_one_that_it_missed(watch: str, app: str, tmp_path: Path) -> None:
    """It is kept and compared, the oldest is forgotten, and the checks go on meanwhile."""
    daemon = Daemon(tmp_path, watch, config={"services": [WORKER], "audit": {"keep": 2}})
    directory = daemon.state_dir / "audits"
    directory.mkdir(mode=0o700)
    first = daemon.run("audit", *NOW, "--keep")
    assert first.returncode == 1
    (kept,) = directory.iterdir()
    last = kept.rename(directory / "20200101T060000Z.json")
    (directory / "20190101T060000Z.json").write_text("{}")
    (directory / "20200102T060000Z.json").write_text("{")
    with open_idle(app, 3), daemon:
        daemon.wait_for("audit_done")
        (done,) = daemon.said("audit_done")
        (passed,) = daemon.said("audit_unreadable")
        meanwhile = [c for c in daemon.said("cycle") if c["at"] < done["at"]]
    assert passed["file"].endswith("20200102T060000Z.json")
    assert (done["database"], done["mode"]) == ("shop", "enforce")
    assert done["warnings"] >= 1
    assert "+3 idle sessions of worker, 3 now" in done["changes"]
    assert len(meanwhile) > 5  # it watches for ten seconds
    names = sorted(path.name for path in directory.iterdir())
    assert len(names) == 2
    assert last.name not in names
    assert done["file"].endswith(names[-1])
    assert not daemon.said("audit_failed")


def test_what_was_recorded_is_not_forgotten(watch: str, app: str, tmp_path: Path) -> None:
    """The server was nearly full while the daemon looked, and is not when the audit does."""
    daemon = Daemon(tmp_path, watch, mode="dry-run", config={"services": [WORKER]})
    with daemon:
        with open_idle(app, 33):
            daemon.wait_for("cycle", level="critical")
        daemon.wait_for("cycle", level="normal")
    done = daemon.run("audit", *NOW, "--format", "text", "--mode", "dry-run")
    assert "(was_nearly_full)" in done.stdout
    assert "worker 33" in done.stdout


def test_an_audit_that_cannot_be_kept_is_said_and_nothing_else_suffers(watch: str, tmp_path: Path) -> None:
    """The checks go on."""
    daemon = Daemon(tmp_path, watch, config={"audit": {"cron": "* * * * *"}})
    directory = daemon.state_dir / "audits"
    directory.mkdir(mode=0o700)
    (directory / "20200101T060000Z.json").write_text("{}")
    with daemon:
        daemon.wait_for("cycle")
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        directory.write_text("in the way")
        daemon.wait_for("audit_failed", within=120)  # at once, or with the next minute
        before = len(daemon.said("cycle"))
        wait_until(lambda: len(daemon.said("cycle")) > before + 3, what="more checks")
    assert "cannot read" in daemon.said("audit_failed")[0]["because"]
