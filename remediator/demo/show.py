"""Runs the demo from its start to its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from remediator.adapters.clock import SystemClock
from remediator.core.model import Mode
from remediator.demo import scenario
from remediator.demo.report import Report, make_report
from remediator.demo.scene import Finale, Scene
from remediator.demo.stage import Options, Stage, staged
from remediator.demo.story import Story, Tone

_LOOK_EVERY = 0.125
_DAEMON_LINGERS = 1.0

Audience = Callable[[Scene], None]
"""Called after every look."""


def perform(options: Options, audience: Audience) -> tuple[Scene, Report]:
    """Run the demo.

    Args:
        options: What is asked for.
        audience: Shown the scene again and again.

    Raises:
        UnavailableError: Something could not be started; the message says what.
    """
    clock = SystemClock()
    begun = clock.now()
    scene = Scene(Story(options.mode, begun.at))
    scene.story.say(0.0, Tone.PLAIN, "starting a PostgreSQL server of its own ...")
    audience(scene)
    with staged(options) as stage:
        pids = dict(stage.supervisor.pids())
        _introduce(scene, stage, clock.now().mono - begun.mono)
        because = _watch(scene, stage, audience, begun.mono)
        _look(scene, stage, begun.mono)
        finale = Finale(
            look=scene.look,
            accepts=stage.accepts(),
            running=stage.supervisor.running(),
            pids_before=pids,
            pids_after=dict(stage.supervisor.pids()),
            because=because,
        )
        audience(scene)
        kept: Path | None = stage.directory if options.keep else None
    return scene, make_report(scene, finale, kept)


def _introduce(scene: Scene, stage: Stage, now: float) -> None:
    server = stage.server
    say = scene.story.say
    say(now, Tone.PLAIN, f"PostgreSQL {server.version} runs on port {server.port}: {scenario.USABLE} slots")
    say(now, Tone.PLAIN, f"{scenario.API} and {scenario.CELERY} start, and leak connections")


def _watch(scene: Scene, stage: Stage, audience: Audience, begun: float) -> str:
    """Follow what happens to its end; say why if the end is not the daemon's."""
    until = None
    while True:
        _look(scene, stage, begun)
        audience(scene)
        if scene.story.ended and until is None:
            until = scene.now + _DAEMON_LINGERS
        if until is not None and scene.now >= until:
            return ""
        if stage.daemon.poll() is not None:
            return f"the daemon ended with code {stage.daemon.returncode}: {_last_words(stage)}"
        if scene.now > scenario.WITHIN:
            return f"no end within {scenario.WITHIN:g} s"
        time.sleep(_LOOK_EVERY)


def _look(scene: Scene, stage: Stage, begun: float) -> None:
    starts = {name: stage.supervisor.starts(name) for name in scenario.LEAKING}
    scene.note(time.monotonic() - begun, stage.onlooker.look(), starts)
    for event in stage.news():
        scene.story.hear(event)


def _last_words(stage: Stage) -> str:
    lines = (stage.directory / "remediator.err").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def mode_words(mode: Mode) -> str:
    """What the mode means here, in words."""
    if mode is Mode.DRY_RUN:
        return "DRY RUN: remediator says what it would do, and does nothing"
    return "ENFORCE: remediator really terminates sessions and restarts services"
