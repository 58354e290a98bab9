"""The picture: used slots now and over time, who holds them, and what the daemon says. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from textwrap import wrap

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from remediator.core.model import Level, Mode
from remediator.core.text import percent
from remediator.demo import honest
from remediator.demo.report import Report
from remediator.demo.scenario import DAEMON_APPLICATION, LEAKING, ONLOOKER_APPLICATION, THRESHOLDS, USABLE
from remediator.demo.scene import Scene, band
from remediator.demo.story import Tone

COLOURS = {
    Level.NORMAL: "green",
    Level.MONITOR: "yellow",
    Level.ALERT: "dark_orange",
    Level.CRITICAL: "red",
}
STYLES = {
    Tone.PLAIN: "",
    Tone.MONITOR: COLOURS[Level.MONITOR],
    Tone.ALERT: COLOURS[Level.ALERT],
    Tone.CRITICAL: COLOURS[Level.CRITICAL],
    Tone.ACT: "bold cyan",
    Tone.GOOD: "bold green",
    Tone.BAD: "bold red",
}
_BANNERS = {
    Mode.DRY_RUN: (" DRY RUN  nothing is done, only said ", "bold black on yellow"),
    Mode.ENFORCE: (" ENFORCE  sessions are terminated, services restarted ", "bold white on red"),
}
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_FRAME = 2
_GAUGE_ROWS = 2
_SESSIONS_WIDTH = 42
_STATES = ("active", "idle", "idle in transaction")


def picture_of(scene: Scene, columns: int, rows: int | None = None) -> RenderableType:
    """Draw the scene.

    Args:
        scene: What is known.
        columns: The room's width; at least 72.
        rows: The room's height, at least 22; None for as much as the whole story needs.
    """
    middle = len(tuple(_applications())) + 1 + _FRAME
    gauge = _GAUGE_ROWS + _FRAME
    story = _timeline(scene, columns - 2 * _FRAME)
    timeline = len(story) + _FRAME if rows is None else rows - 1 - gauge - middle
    rows = 1 + gauge + middle + timeline
    layout = Layout(size=rows)
    layout.split_column(
        Layout(_header(scene, columns), size=1),
        Layout(_gauge(scene, columns - 2 * _FRAME), size=gauge),
        Layout(name="middle", size=middle),
        Layout(_panel(Group(*story[_FRAME - timeline :]), "what happens"), size=timeline),
    )
    layout["middle"].split_row(
        Layout(_chart(scene, columns - _SESSIONS_WIDTH - 2 * _FRAME, middle - _FRAME)),
        Layout(_sessions(scene), size=_SESSIONS_WIDTH),
    )
    return _Fixed(layout, columns, rows)


class _Fixed:
    """A layout of a size of its own, whatever the console's is."""

    def __init__(self, layout: Layout, columns: int, rows: int) -> None:
        self._layout = layout
        self._size = columns, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns, rows = self._size
        yield from console.render(self._layout, options.update(width=columns, height=rows))


def _header(scene: Scene, columns: int) -> Text:
    words, style = _BANNERS[scene.mode]
    right = f"{scene.now:5.1f} s "
    title = " remediator demo "
    gap = columns - len(title) - len(words) - len(right)
    return Text.assemble((title, "bold"), (words, style), " " * max(1, gap), (right, "dim"))


def _panel(content: RenderableType, title: str | Text, style: str = "dim") -> Panel:
    return Panel(content, title=title, title_align="left", box=box.ROUNDED, border_style=style)


def _gauge(scene: Scene, width: int) -> Panel:
    """One bar for the slots, coloured by band, above the bands' names."""
    used = scene.look.used
    filled = round(min(used, USABLE) / USABLE * width)
    bar = Text(no_wrap=True)
    for cell in range(width):
        colour = COLOURS[band((cell + 0.5) / width * USABLE)]
        bar.append("█" if cell < filled else "░", colour if cell < filled else f"dim {colour}")
    level = scene.story.level
    title = Text.assemble(
        f"{used} of {USABLE} slots used ({percent(used / USABLE)})   level ",
        (level.label.upper(), f"bold {COLOURS[level]}"),
    )
    return _panel(Group(bar, _scale(width)), title, COLOURS[level])


def _scale(width: int) -> Text:
    starts = [(0.0, Level.NORMAL), *((share, level) for level, share in THRESHOLDS.items())]
    edges = [*(round(share * width) for share, _ in starts), width]
    scale = Text(no_wrap=True)
    for (share, level), (begin, end) in zip(starts, pairwise(edges), strict=True):
        words = f"{level.label} from {percent(share)}" if share else level.label
        room = end - begin
        shown = next((w for w in (words, level.label, percent(share)) if len(w) < room), "")
        scale.append(shown.ljust(room), COLOURS[level])
    return scale


def _chart(scene: Scene, width: int, height: int) -> Panel:
    """Used slots over time, each cell in the colour of the band it is in."""
    columns = _columns(scene, width)
    rows = []
    for row in range(height - 1, -1, -1):
        line = Text(no_wrap=True)
        colour = COLOURS[band((row + 0.5) / height * USABLE)]
        for used in columns:
            eighths = 0 if used is None else round(used / USABLE * height * 8) - row * 8
            line.append(_EIGHTHS[max(0, min(8, eighths))], colour)
        rows.append(line)
    return _panel(Group(*rows), f"used slots, {scene.span:.0f} s")


def _columns(scene: Scene, width: int) -> list[int | None]:
    """The used slots at the end of each column's stretch of time; None where nothing is known yet."""
    columns: list[int | None] = [None] * width
    for at, used in scene.history:
        columns[min(width - 1, int(at / scene.span * width))] = used
    last = None
    newest = min(width - 1, int(scene.now / scene.span * width))
    for column in range(newest + 1):
        last = columns[column] if columns[column] is not None else last
        columns[column] = last
    return columns


def _sessions(scene: Scene) -> Panel:
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, show_edge=False)
    table.add_column("application", no_wrap=True)
    for heading in ("active", "idle", "in tx"):
        table.add_column(heading, justify="right", no_wrap=True)
    found = scene.look.by_application()
    for name in _applications():
        counted = found.get(name)
        starts = scene.starts.get(name, 1)
        label = Text(name, "" if name in LEAKING else "dim")
        if starts > 1:
            label.append(" ↻ new", STYLES[Tone.ACT])
        cells = [_number(counted[state] if counted else 0) for state in _STATES]
        table.add_row(label, *cells)
    return _panel(table, "sessions")


def _applications() -> Iterator[str]:
    yield from LEAKING
    yield from (each.application for each in honest.ALL)
    yield DAEMON_APPLICATION
    yield ONLOOKER_APPLICATION


def _number(value: int) -> Text:
    return Text(str(value) if value else "·", "" if value else "dim")


def _timeline(scene: Scene, width: int) -> list[Text]:
    """The story, long lines on several rows."""
    rows: list[Text] = []
    for line in scene.story.lines:
        stamp = f"{line.at:5.1f}s  "
        for part in wrap(line.text, width - len(stamp)):
            rows.append(Text.assemble((stamp, "dim"), (part, STYLES[line.tone]), no_wrap=True))
            stamp = " " * len(stamp)
    return rows


def report_of(report: Report) -> RenderableType:
    """Draw the report."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for heading, text in report.rows:
        table.add_row(heading, text)
    style = "green" if report.passed else "red"
    verdict = Text(report.verdict, f"bold {style}")
    return _panel(table, verdict, style)
