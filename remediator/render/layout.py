"""Text beside text: columns that are wrapped to a width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

WIDTH = 100
"""Where no terminal says how wide it is."""

_GAP, _INDENT, _NARROWEST = 2, 2, 12


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most this width; those after the first are indented."""
    return wrap(text, width, subsequent_indent=" " * _INDENT)


def beside(columns: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Put columns of lines next to each other.

    Args:
        columns: The lines of each.
        widths: How wide each is; its lines are no longer.
    """
    for line in zip_longest(*columns, fillvalue=""):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield (" " * _GAP).join(cells).rstrip()


def table(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """A table whose lines fit into a width as far as its columns can be made narrower.

    Args:
        rows: Their cells, each on one line.
        width: Of each line.
    """
    widths = [max(1, *map(len, column)) for column in zip(*rows, strict=True)]
    room = width - _GAP * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widest = widths.index(max(widths))
        others = sorted(widths)[-2] if len(widths) > 1 else 0
        widths[widest] = max(
            _NARROWEST, min(widths[widest] - 1, max(others, room - sum(widths) + widths[widest]))
        )
    for row in rows:
        yield from beside([wrapped(cell, w) for cell, w in zip(row, widths, strict=True)], widths)
