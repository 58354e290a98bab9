"""Where the demo is shown: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.live import Live

from remediator.demo.report import Report
from remediator.demo.scene import Scene
from remediator.demo.show import mode_words, perform
from remediator.demo.stage import Options
from remediator.demo.view import picture_of, report_of

SMALLEST = (72, 22)
"""Columns and rows that the picture needs."""
_PICTURE_COLUMNS = 108
# The picture must not make whoever looks at it fetch fonts from elsewhere.
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def play(options: Options, *, plain: bool, picture: Path | None = None) -> bool:
    """Run the demo and show it; tell whether it passed.

    Args:
        options: What is asked for.
        plain: Lines only, even on a terminal.
        picture: Where to save the last picture as SVG, None for nowhere.

    Raises:
        UnavailableError: Something could not be started; the message says what.
    """
    console = Console(highlight=False)
    columns, rows = console.size
    big_enough = columns >= SMALLEST[0] and rows >= SMALLEST[1]
    if plain or not console.is_terminal or console.is_dumb_terminal or not big_enough:
        scene, report = _play_plain(options)
    else:
        scene, report = _play_live(options, console)
    if picture is not None:
        _save(scene, picture)
    return report.passed


def _play_plain(options: Options) -> tuple[Scene, Report]:
    print(mode_words(options.mode), flush=True)  # noqa: T201
    shown = 0

    def audience(scene: Scene) -> None:
        nonlocal shown
        for line in scene.story.lines[shown:]:
            print(f"{line.at:6.1f}s  {line.text}", flush=True)  # noqa: T201
        shown = len(scene.story.lines)

    scene, report = perform(options, audience)
    print()  # noqa: T201
    for line in report.lines():
        print(line)  # noqa: T201
    sys.stdout.flush()
    return scene, report


def _play_live(options: Options, console: Console) -> tuple[Scene, Report]:
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def audience(scene: Scene) -> None:
            live.update(picture_of(scene, *console.size), refresh=True)

        scene, report = perform(options, audience)
    console.print(picture_of(scene, console.size.width))
    console.print(report_of(report))
    if report.hint:
        console.print(report.hint, soft_wrap=True)
    return scene, report


def _save(scene: Scene, path: Path) -> None:
    console = Console(
        record=True, width=_PICTURE_COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(picture_of(scene, _PICTURE_COLUMNS))
    svg = console.export_svg(title="remediator demo")
    path.write_text(_FONTS.sub("", svg))
