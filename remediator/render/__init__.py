"""Values as people and programs read them. Pure."""

from __future__ import annotations

from remediator.render.bundle import Bundle, Gathering, bundle_record
from remediator.render.layout import WIDTH
from remediator.render.lines import (
    assessment_lines,
    history_lines,
    left_open,
    plan_lines,
)
from remediator.render.look import Look
from remediator.render.nagios import nagios_lines
from remediator.render.records import assessment_record, history_record, plan_record, sample_record
from remediator.render.replay import Replayed, Span, replay_lines, replay_record
from remediator.render.standing import standing_lines, standing_record
from remediator.render.tale import bundle_lines
from remediator.render.verdicts import reasons, shown_level, shown_unknown, verdict

__all__ = [
    "WIDTH",
    "Bundle",
    "Gathering",
    "Look",
    "Replayed",
    "Span",
    "assessment_lines",
    "assessment_record",
    "bundle_lines",
    "bundle_record",
    "history_lines",
    "history_record",
    "left_open",
    "nagios_lines",
    "plan_lines",
    "plan_record",
    "reasons",
    "replay_lines",
    "replay_record",
    "sample_record",
    "shown_level",
    "shown_unknown",
    "standing_lines",
    "standing_record",
    "verdict",
]
