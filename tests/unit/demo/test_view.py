"""The picture keeps to its room."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from remediator.core.model import Level, Mode
from remediator.demo.audience import SMALLEST
from remediator.demo.report import make_report
from remediator.demo.scenario import USABLE
from remediator.demo.scene import Scene, band
from remediator.demo.story import Tone
from remediator.demo.view import picture_of, report_of
from tests.unit.demo.scenes import finale, scene

LONG = "critical is confirmed because of " + "very many reasons and " * 20


def drawn(seen: Scene, columns: int, rows: int | None) -> list[str]:
    """The rows of a picture, as a terminal of that size shows them."""
    console = Console(width=columns, height=rows or 25, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(picture_of(seen, columns, rows))
    return capture.get().splitlines()


def told(mode: Mode = Mode.ENFORCE) -> Scene:
    """A scene with more to tell than there is room for."""
    seen = scene(mode)
    for second in range(30):
        seen.story.say(second, Tone.PLAIN, f"line {second}")
    seen.story.say(31, Tone.CRITICAL, LONG)
    seen.story.say(32, Tone.GOOD, "the newest")
    return seen


@pytest.mark.parametrize("size", [SMALLEST, (80, 24), (100, 30), (120, 40), (250, 60)])
def test_the_picture_fills_its_room_exactly(size: tuple[int, int]) -> None:
    """No row wraps, none is missing, and the newest line is in it."""
    columns, rows = size
    shown = drawn(told(), columns, rows)
    assert len(shown) == rows
    assert {cell_len(row) for row in shown[1:]} == {columns}
    assert cell_len(shown[0]) <= columns
    assert any("the newest" in row for row in shown)


@pytest.mark.parametrize(("mode", "words"), [(Mode.ENFORCE, "ENFORCE"), (Mode.DRY_RUN, "DRY RUN")])
def test_the_mode_is_in_the_first_row(mode: Mode, words: str) -> None:
    """Impossible to overlook."""
    assert words in drawn(told(mode), 80, 24)[0]


def test_without_a_limit_the_whole_story_is_told() -> None:
    """For the last picture, which stays."""
    shown = "\n".join(drawn(told(), 100, None))
    assert all(f"line {second} " in shown for second in range(30))


def test_the_gauge_is_as_full_as_the_slots() -> None:
    """Half the slots are half the bar."""
    bar = drawn(scene(peak=USABLE // 2), 80, 24)[2]
    assert bar.count("█") == bar.count("░")


def test_a_restarted_service_is_marked() -> None:
    """Its sessions are those of another process."""
    seen = scene()
    seen.starts = {"api": 1, "celery_worker": 2}
    shown = drawn(seen, 80, 24)
    assert any(re.search(r"celery_worker ↻ new", row) for row in shown)
    assert not any(re.search(r"api ↻", row) for row in shown)


def test_bands_begin_above_their_thresholds() -> None:
    """As the levels do."""
    assert [band(used) for used in (12, 13, 30, 31, 54, 55)] == [
        *(Level.NORMAL, Level.MONITOR, Level.MONITOR),
        *(Level.ALERT, Level.ALERT, Level.CRITICAL),
    ]


def test_the_report_is_drawn_with_every_row() -> None:
    """On the narrowest terminal, too."""
    report = make_report(scene(), finale(), None)
    console = Console(width=SMALLEST[0], file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(report_of(report))
    shown = capture.get()
    assert report.verdict in shown
    assert all(heading in shown for heading, _ in report.rows)
