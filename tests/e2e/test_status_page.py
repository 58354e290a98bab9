"""The status page of a real daemon in a real browser: by finger, by keyboard, and without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.testbed.daemon import Daemon, ladder, merged
from tests.testbed.sessions import open_idle
from tests.testbed.web import ask, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

HOSTILE = "<img src=x onerror=alert(1)>\"'</script>{{7*7}}"
# Long enough to be seen, by a machine that is busy.
SLOWLY = {"clear": {"margin": "5%", "for": "4s"}, "remediate": {"settle": "2s"}}
WITHIN = 30_000
# Headings of columns that are one word, and take more than one line.
BROKEN_WORDS = """[...document.querySelectorAll("thead th")].filter((cell) => {
  const all = document.createRange();
  all.selectNodeContents(cell);
  return !cell.textContent.trim().includes(" ") && all.getClientRects().length > 1;
}).map((cell) => cell.textContent)"""


def serving(port: int) -> dict[str, object]:
    """What the configuration says of it."""
    return {"web": {"listen": f"127.0.0.1:{port}"}}


class Visit:
    """A page, and what went wrong with it.

    Attributes:
        wrong: Errors, refused content, dialogs, and requests to anybody else.
    """

    def __init__(self, browser: Browser, port: int, **options: object) -> None:
        self.wrong: list[str] = []
        self.origin = f"http://127.0.0.1:{port}"
        context = browser.new_context(**{"viewport": {"width": 390, "height": 844}, **options})  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WITHIN)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", self._interrupted)
        self.page.on("request", self._asked)
        self.page.goto(f"{self.origin}/")

    def _said(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.wrong.append(said.text)

    def _interrupted(self, dialog: Dialog) -> None:
        self.wrong.append(dialog.message)
        dialog.dismiss()

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.origin):
            self.wrong.append(request.url)

    def see(self, text: str) -> None:
        """Wait until a text is on the page, of the first database's state or anywhere else."""
        expect(self.page.locator("main")).to_contain_text(text, timeout=WITHIN, ignore_case=True)


def test_it_tells_a_leak_and_its_relief_while_it_is_being_watched(
    app: str, watch: str, browser: Browser, tmp_path: Path
) -> None:
    """Without a reload: what is, what would be done, what was done, and at last that nobody answers."""
    port = free_port()
    policy = merged(ladder(), SLOWLY)
    with Daemon(tmp_path / "daemon", watch, policy=policy, config=serving(port)) as daemon:
        daemon.wait_for("web_available")
        visit = Visit(browser, port)
        page = visit.page
        page.evaluate("window.loadedOnce = true")
        level = page.locator(".level")
        expect(level).to_contain_text("normal", timeout=WITHIN)
        expect(page.locator(".mode")).to_have_text("enforcing")
        visit.see("terminate sessions idle for 0.3s or longer")  # what would be done
        with open_idle(app, 33, application_name=HOSTILE):
            expect(level).to_contain_text("critical", timeout=WITHIN)
            expect(page.locator("#who-1")).to_contain_text(HOSTILE[:20], timeout=WITHIN)
            daemon.wait_for("incident_closed")
        expect(level).to_contain_text("normal", timeout=WITHIN)
        story = page.locator("details.incident")
        expect(story).to_contain_text("closed", timeout=WITHIN)
        terminated = len(daemon.said("action_finished"))
        expect(story).to_contain_text(f"Terminate {terminated} sessions")
        expect(story).to_contain_text("Relieved")
        expect(page.locator("#left-1")).to_contain_text(f"{10_000 - terminated} of 10000")
        assert page.evaluate("window.loadedOnce") is True
        assert page.locator(".plot canvas").count() == 1
        assert page.locator("img").count() == 0
        assert visit.wrong == []

        page.locator("details.incident a").click()
        visit.see("user app, from 127.0.0.1: idle for")
        assert page.locator("ol.story li").count() > 3
        page.go_back()
        daemon.terminate()
        expect(page.locator("#live")).to_contain_text("Not live", timeout=WITHIN)


def test_it_can_be_read_without_scripts(app: str, watch: str, browser: Browser, tmp_path: Path) -> None:
    """Level, figures, chart, readings, story; it asks for itself anew from time to time."""
    port = free_port()
    with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=serving(port)) as daemon:
        with open_idle(app, 33):
            daemon.wait_for("incident_closed")
        daemon.wait_for("level_changed", level="normal")
        page = Visit(browser, port, java_script_enabled=False).page
        assert page.locator(".level").inner_text().strip().lower() == "normal"
        assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
        assert page.locator(".plot svg polyline").count() >= 1
        assert page.locator(".plot svg .mark").count() >= 2
        box = page.locator(".plot svg text").last.bounding_box()
        assert box is not None
        assert box["height"] > 9, "the axis can be read on a phone, too"
        assert page.locator("#readings-1 tbody tr").count() > 1
        assert "Terminate" in page.locator("ol.story").inner_text()


def test_a_dry_run_cannot_be_missed_and_nothing_runs_off_a_phone(
    app: str, watch: str, browser: Browser, tmp_path: Path
) -> None:
    """The banner stays in sight wherever one scrolls to, and the title says it; long names are broken."""
    port = free_port()
    long = "x" * 60
    daemon = Daemon(tmp_path / "daemon", watch, mode="dry-run", policy=ladder(), config=serving(port))
    with daemon, open_idle(app, 34, application_name=long):
        daemon.wait_for("incident_relieved")
        visit = Visit(browser, port, viewport={"width": 320, "height": 640})
        page = visit.page
        visit.see("would have been terminated")
        assert "dry run" in page.title()
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        banner = page.locator(".dryrun")
        expect(banner).to_be_in_viewport()
        expect(banner).to_contain_text("Nothing is done")
        expect(page.locator(".mode")).to_have_text("dry run")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert page.evaluate(BROKEN_WORDS) == []
        assert visit.wrong == []


def test_a_keyboard_is_enough(watch: str, browser: Browser, tmp_path: Path) -> None:
    """Straight to what matters; what was opened stays open and focused while the page is kept up to date."""
    port = free_port()
    with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=serving(port)) as daemon:
        daemon.wait_for("web_available")
        page = Visit(browser, port).page
        page.keyboard.press("Tab")
        focused = "document.activeElement.textContent"
        assert "Skip" in page.evaluate(focused)
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        for _ in range(20):
            page.keyboard.press("Tab")
            if "Newest readings" in page.evaluate(focused):
                break
        page.keyboard.press("Enter")
        assert page.locator("#readings-1").get_attribute("open") is not None
        page.wait_for_timeout(4000)
        assert page.locator("#readings-1").get_attribute("open") is not None
        assert "Newest readings" in page.evaluate(focused)


def test_what_is_not_there_is_not_found(watch: str, tmp_path: Path) -> None:
    """In plain words, and with the same hardened headers."""
    port = free_port()
    with Daemon(tmp_path / "daemon", watch, config=serving(port)) as daemon:
        daemon.wait_for("web_available")
        paths = ("/incidents/none", "/series?database=none", "/static/../page.html", "/static/x")
        answers = [ask(port, path) for path in paths]
    assert {answer.status for answer in answers} == {404}
    assert all("content-security-policy" in answer.headers for answer in answers)
