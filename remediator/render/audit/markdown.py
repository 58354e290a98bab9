"""Reports as Markdown, for a ticket or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from remediator.core.audit.finding import Finding
from remediator.core.audit.report import Report
from remediator.core.text import visible
from remediator.render.audit.sections import Section, changes, sections, summary
from remediator.render.markdown import as_text


def audit_markdown(reports: Sequence[Report]) -> str:
    """The reports as one Markdown document; names in them are text, whatever they hold."""
    return "".join(f"{line}\n" for report in reports for line in _report(report))


def _report(report: Report) -> Iterator[str]:
    yield f"# Audit of {as_text(report.facts.database)}"
    yield ""
    yield f"{report.at:%Y-%m-%d %H:%M:%S} UTC"
    yield ""
    yield from (f"- {as_text(line)}" for line in summary(report))
    yield ""
    yield from _titled(changes(report))
    yield "## Findings"
    yield ""
    if not report.findings:
        yield from ("None.", "")
    for finding in report.findings:
        yield from _finding(finding)
    yield from _titled(sections(report))


def _titled(shown: Iterable[Section]) -> Iterator[str]:
    for section in shown:
        yield f"## {as_text(section.title)}"
        yield ""
        yield from _section(section)


def _finding(finding: Finding) -> Iterator[str]:
    yield f"### {finding.severity.label}: {finding.title} (`{finding.id}`)"
    yield ""
    yield f"**{as_text(finding.subject)}**: {as_text(finding.evidence)}"
    yield ""
    yield finding.why
    yield ""
    yield f"**Fix**: {finding.fix}"
    yield ""
    if finding.statements:
        yield from _fenced("sql", finding.statements)


def _section(section: Section) -> Iterator[str]:
    if section.verbatim:
        yield from _fenced("text", section.lines)
    elif section.lines:
        yield from (f"- {as_text(line)}" for line in section.lines)
        yield ""
    if section.bars:
        yield from _table(("", " sessions"), [(bar.label, str(bar.value)) for bar in section.bars])
    if section.rows:
        yield from _table(section.headers, section.rows)
    if section.statements:
        yield from _fenced("sql", section.statements)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(as_text(header.strip()) for header in headers)} |"
    yield f"|{'|'.join('---:' if header.startswith(' ') else '---' for header in headers)}|"
    for row in rows:
        yield f"| {' | '.join(as_text(cell) for cell in row)} |"
    yield ""


def _fenced(language: str, lines: Sequence[str]) -> Iterator[str]:
    ticks = (len(run) for line in lines for run in re.findall("`+", line))
    fence = "`" * max(3, 1 + max(ticks, default=0))
    yield f"{fence}{language}"
    yield from (visible(line) for line in lines)
    yield fence
    yield ""
