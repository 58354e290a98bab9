"""Reports for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from remediator.core.audit.finding import Finding
from remediator.core.audit.report import Report
from remediator.core.text import visible
from remediator.render.audit.sections import Section, changes, sections, summary

_WIDTH = 110
_BAR = 40


def audit_lines(report: Report) -> Iterator[str]:
    """One database's report for a person; nothing in it can steer the terminal."""
    for line in _lines(report):
        yield visible(line)


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.facts.database}, {report.at:%Y-%m-%d %H:%M:%S} UTC"
    yield from (f"  {line}" for line in summary(report))
    yield from _titled(changes(report))
    for number, finding in enumerate(report.findings, 1):
        yield ""
        yield from _finding(number, finding)
    yield from _titled(sections(report))


def _titled(shown: Iterable[Section]) -> Iterator[str]:
    for section in shown:
        yield ""
        yield section.title
        yield from (f"  {line}" for line in _section(section))


def _finding(number: int, finding: Finding) -> Iterator[str]:
    yield f"{number}. {finding.severity.label}: {finding.title} ({finding.id})"
    yield from _wrapped(f"{finding.subject}: {finding.evidence}")
    yield from _wrapped(finding.why)
    yield from _wrapped(f"Fix: {finding.fix}")
    yield from (f"     {statement}" for statement in finding.statements)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="   ", subsequent_indent="   ", break_long_words=False)


def _section(section: Section) -> Iterator[str]:
    for line in section.lines:
        yield from [line] if section.verbatim else textwrap.wrap(line, _WIDTH, break_long_words=False)
    width = max((len(bar.label) for bar in section.bars), default=0)
    most = max((bar.value for bar in section.bars), default=0)
    for bar in section.bars:
        drawn = "#" * (0 if not bar.value else max(1, round(_BAR * bar.value / most)))
        yield f"{bar.label:<{width}}  {bar.value:>5}  {drawn}".rstrip()
    if section.rows:
        yield from _table(section)
    yield from section.statements


def _table(section: Section) -> Iterator[str]:
    rows = [tuple(header.strip() for header in section.headers), *section.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(section.headers))]
    right = [header.startswith(" ") for header in section.headers]
    for row in rows:
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        yield "  ".join(cells).rstrip()
