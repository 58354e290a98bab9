"""When the demo has succeeded, and what it says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remediator.core.model import Mode
from remediator.core.plan import Objection
from remediator.demo.report import make_report
from remediator.demo.scene import failures
from remediator.demo.sessions import Look
from tests.unit.demo.scenes import finale, look, scene

UNCHANGED = {"look": look(54), "accepts": False, "pids_after": {"api": 10, "celery_worker": 11}}


def test_relief_is_free_slots_and_everybody_alive() -> None:
    """Nothing speaks against it."""
    assert failures(scene(), finale()) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"look": look(27)}, "no relief: 33 of 60 slots are used"),
        ({"accepts": False}, "no relief: the server still refuses connections"),
        ({"running": False}, "a service does not run"),
        ({"look": Look()}, "4 of the sessions that had to survive did not"),
        ({"because": "no end within 90 s"}, "no end within 90 s"),
    ],
)
def test_what_speaks_against_relief(changes: dict[str, Any], complaint: str) -> None:
    """Each finding of the demo's own, whatever the daemon has said."""
    seen = scene()
    seen.story.relief_took = 3.0
    assert failures(seen, finale(**changes)) == [complaint]


def test_a_leak_that_never_filled_the_server_proves_nothing() -> None:
    """A demo without a crisis is no success."""
    assert failures(scene(peak=50), finale()) == ["the slots never ran out: 50 of 60 used at most"]


def test_a_dry_run_succeeds_when_nothing_changed() -> None:
    """Every session that ever leaked is there, every service has its process."""
    assert failures(scene(Mode.DRY_RUN), finale(**UNCHANGED)) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"look": look(53)}, "the dry run changed something: 1 session gone"),
        (
            {"pids_after": {"api": 10, "celery_worker": 12}},
            "the dry run changed something: celery_worker restarted",
        ),
    ],
)
def test_a_dry_run_that_changed_something_fails(changes: dict[str, Any], complaint: str) -> None:
    """Found in the world, not in the log."""
    assert failures(scene(Mode.DRY_RUN), finale(**{**UNCHANGED, **changes})) == [complaint]


def test_a_dry_run_without_a_plan_fails() -> None:
    """Changing nothing is not enough."""
    seen = scene(Mode.DRY_RUN)
    seen.story.planned = False
    assert failures(seen, finale(**UNCHANGED)) == ["no plan was made"]


def test_the_report_names_what_was_done_and_to_whom() -> None:
    """Figures, reasons, processes."""
    seen = scene()
    seen.story.terminated.update({"api": 11, "celery_worker": 19})
    seen.story.spared.update({Objection.LISTENING: 1, Objection.ACTIVE: 3})
    seen.story.restarts.append(("celery_worker", "confirmed"))
    seen.story.relief_took = 7.7
    report = make_report(seen, finale(), None)
    rows = dict(report.rows)
    assert report.passed
    assert rows["slots"] == "60 of 60 used at the worst, 9 now (15%); a new connection is accepted"
    assert rows["terminated"] == "30 idle sessions (19 celery_worker, 11 api)"
    assert rows["spared"].startswith("not idle: 3; listens for notifications: 1")
    assert rows["restarted"] == "celery_worker (process 11 is now 12; confirmed); api left alone"
    assert rows["time"] == "7.7s from confirmed critical to relief"
    assert "--keep" in rows["records"]
    assert report.hint == ""


def test_a_failure_is_the_first_word() -> None:
    """With every reason in the verdict."""
    report = make_report(scene(), finale(look=look(54), accepts=False), None)
    assert not report.passed
    assert next(report.lines()).startswith("FAILED: no relief: 60 of 60 slots are used; no relief")


def test_what_is_kept_comes_with_a_command() -> None:
    """The ledger can be read right away."""
    report = make_report(scene(), finale(), Path("/somewhere"))
    assert list(report.lines())[-1] == "remediator history --config /somewhere/config.yaml"
