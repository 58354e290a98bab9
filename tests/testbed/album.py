"""A leak with its relief in front of a real daemon, photographed for the docs."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tests.testbed.browser import chromium
from tests.testbed.daemon import Daemon, LeakingService, merged
from tests.testbed.pgbinaries import postgres_binaries
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.web import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

# Slow enough for a picture of each stage, quick enough to wait for.
_PACE: dict[str, Any] = {
    "check_every": {"normal": "500ms", "monitor": "500ms", "alert": "500ms", "critical": "500ms"},
    "levels": {
        "monitor": {"utilization": "20%"},
        "alert": {"utilization": "50%", "for": "1s"},
        "critical": {"utilization": "90%", "refusing_connections": True, "for": "2s"},
    },
    "clear": {"margin": "5%", "for": "8s"},
    "remediate": {"settle": "4s", "retry": "1m"},
    "limits": {"terminate": {"per_hour": 500, "per_step": "50%"}},
}
# Who is busy uses a session more often than every minute: before, a leak cannot be told from a load peak.
_LONG_IDLE = 63.0
_WIDE, _PHONE = (1200, 1500), (390, 844)


def take(work: Path, album: Path) -> Iterator[Path]:
    """Let a service leak until it is restarted, once for real and once dry, and take pictures meanwhile.

    Args:
        work: Where everything of the daemons goes.
        album: Where the pictures go.
    """
    album.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(16, postgres_binaries()[16], {"max_connections": 63})
    with server, chromium() as browser:
        app, watch = create_app_role(server), create_watch_role(server)
        yield from _enforcing(work / "enforce", app, watch, browser, album)
        yield from _dry(work / "dry", app, watch, browser, album)


def _enforcing(work: Path, app: str, watch: str, browser: Browser, album: Path) -> Iterator[Path]:
    port = free_port()
    celery = LeakingService("celery_worker", work / "celery", app, every=0.12, limit=0)
    api = LeakingService("api", work / "api", app, every=0.3, limit=9, heals_after=None)
    steps = [
        {"terminate_idle": {"older_than": "10s"}},
        *({"restart": {"service": s.name}} for s in (celery, api)),
    ]
    policy = merged(_PACE, {"remediate": {"steps": steps}, "spare": {"applications": ["metabase"]}})
    config = {
        "web": {"listen": f"127.0.0.1:{port}"},
        "services": [{**s.config, "sessions": {"applications": [s.name]}} for s in (celery, api)],
        "clients": [{"name": "metabase", "applications": ["metabase"]}],
    }
    with ExitStack() as stack:
        stack.enter_context(open_idle(app, 3, application_name="metabase"))
        stack.enter_context(open_idle(app, 20, application_name=celery.name))
        daemon = stack.enter_context(Daemon(work / "d", watch, celery, api, policy=policy, config=config))
        time.sleep(_LONG_IDLE)
        celery.stop()
        celery.limit = 70
        celery.configure()
        celery.start()
        daemon.wait_for("action_finished", action="terminate", within=90)
        yield _shoot(browser, port, album / "status-critical-phone.png", _PHONE)
        daemon.wait_for("action_intended", action="restart", within=90)
        yield _shoot(browser, port, album / "status-acting.png", _WIDE)
        daemon.wait_for("incident_relieved", within=90)
        yield _shoot(browser, port, album / "status-dark.png", _WIDE, dark=True, wait=6000)


def _dry(work: Path, app: str, watch: str, browser: Browser, album: Path) -> Iterator[Path]:
    port = free_port()
    policy = merged(_PACE, {"remediate": {"steps": [{"terminate_idle": {"older_than": "10s"}}]}})
    config = {"web": {"listen": f"127.0.0.1:{port}"}}
    daemon = Daemon(work / "d", watch, mode="dry-run", policy=policy, config=config)
    with open_idle(app, 57, application_name="celery_worker"):
        time.sleep(_LONG_IDLE)
        with daemon:
            daemon.wait_for("incident_relieved", within=90)
            yield _shoot(browser, port, album / "status-dry-run-phone.png", _PHONE)


def _shoot(
    browser: Browser, port: int, file: Path, size: tuple[int, int], *, dark: bool = False, wait: int = 1500
) -> Path:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=2 if size[0] < 500 else 1,
        color_scheme="dark" if dark else "light",
    )
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_timeout(wait)
    page.screenshot(path=file)
    context.close()
    _shrink(file)
    return file


def _shrink(file: Path) -> None:
    """Make a picture smaller with what is there for it: few colours are enough for what is drawn."""
    for command in (
        ("pngquant", "--force", "--skip-if-larger", "--ext", ".png", "--speed", "1", "128"),
        ("optipng", "-quiet", "-o4"),
    ):
        if shutil.which(command[0]):
            subprocess.run([*command, file], check=False, capture_output=True)
