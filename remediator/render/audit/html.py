"""Reports as one HTML file that needs nothing else: no script, no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from remediator.core.audit.report import Report
from remediator.core.model import Mode
from remediator.core.text import percent, visible
from remediator.render.audit.sections import changes, sections, summary


def audit_html(reports: Sequence[Report], mode: Mode) -> str:
    """The reports as one HTML document; names in them are text, whatever they hold.

    Args:
        reports: One for each database.
        mode: Whose budgets the plans go by.
    """
    environment = Environment(
        loader=PackageLoader("remediator.render.audit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters["code"] = _code
    view = [_view(report) for report in reports]
    return environment.get_template("audit.html").render(reports=view, mode=mode.value)


def _finalized(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _code(text: str) -> Markup:
    """Our own words, in which code stands between backticks."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped right here


def _view(report: Report) -> dict[str, Any]:
    return {
        "name": report.facts.database,
        "at": f"{report.at:%Y-%m-%d %H:%M:%S} UTC",
        "summary": summary(report),
        "changes": changes(report),
        "findings": report.findings,
        "sections": sections(report),
        "gauge": _gauge(report),
    }


def _gauge(report: Report) -> dict[str, Any] | None:
    """The used part of the usable slots, with the levels' thresholds marked; all of it in hundredths."""
    slots = report.facts.sample.slots
    if slots is None:
        return None
    levels = report.facts.policy.levels.items()
    marks = [
        {"name": level.label, "at": round(ratio * 100, 2), "text": f"{level.label} {percent(ratio)}"}
        for level, rule in levels
        if (ratio := rule.conditions.utilization) is not None
    ]
    used = round(min(1.0, slots.utilization) * 100, 2)
    return {"used": used, "text": percent(slots.utilization), "marks": marks}
