"""Scenes and finales for tests, good ones unless a test says otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from remediator.core.model import Mode
from remediator.demo import honest
from remediator.demo.scenario import USABLE
from remediator.demo.scene import Finale, Scene
from remediator.demo.sessions import Look, Seen
from remediator.demo.story import Story

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def event(name: str, at: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A record of the daemon's log."""
    when = (BEGUN + timedelta(seconds=at)).isoformat()
    return {"at": when, "event": name, "severity": "info", **fields}


def look(celery: int, api: int = 2) -> Look:
    """A look at so many leaked sessions, and the honest ones."""
    names = ["celery_worker"] * celery + ["api"] * api
    leaked = [Seen(100 + n, BEGUN, name, "idle") for n, name in enumerate(names)]
    return Look((*leaked, *(Seen(n, BEGUN, each.application, "idle") for n, each in enumerate(honest.ALL))))


def scene(mode: Mode = Mode.ENFORCE, *, peak: int = USABLE) -> Scene:
    """A scene in which so many slots were used in the end."""
    seen = Scene(Story(mode, BEGUN))
    seen.story.planned = True
    for second, used in enumerate((6, peak)):
        celery = used - len(honest.ALL) - 2
        seen.note(float(second), look(max(0, celery)), {"api": 1, "celery_worker": 1})
    return seen


def finale(**changes: Any) -> Finale:
    """The end of a demo that acted and healed."""
    good = Finale(
        look=look(3),
        accepts=True,
        running=True,
        pids_before={"api": 10, "celery_worker": 11},
        pids_after={"api": 10, "celery_worker": 12},
    )
    return replace(good, **changes)
