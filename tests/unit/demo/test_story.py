"""From the daemon's events to a story."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from remediator.core.events import Event
from remediator.core.model import Level, Mode
from remediator.core.plan import Objection
from remediator.demo.story import Story, Tone
from tests.unit.demo.scenes import BEGUN, event


def story(mode: Mode = Mode.ENFORCE) -> Story:
    """A story that has not begun."""
    return Story(mode, BEGUN)


def told(*events: dict[str, object], mode: Mode = Mode.ENFORCE) -> Story:
    """The story of these events."""
    heard = story(mode)
    for each in events:
        heard.hear(each)
    return heard


def termination(application: str, outcome: str = "confirmed") -> dict[str, object]:
    """One finished termination."""
    return event("action_finished", action="terminate", application=application, outcome=outcome)


SETTLING = event("step_settling", settle="3s")


def test_terminations_of_a_step_are_one_line() -> None:
    """Thirty lines would bury the news."""
    heard = told(termination("api"), termination("celery_worker"), termination("api"), SETTLING)
    assert [line.text for line in heard.lines] == [
        "terminated 3 idle sessions (2 api, 1 celery_worker), each seen to be gone",
        "waits 3s to see what that brings",
    ]
    assert heard.terminated == Counter(api=2, celery_worker=1)


def test_what_was_not_terminated_is_not_claimed() -> None:
    """Only what was confirmed counts as terminated."""
    heard = told(termination("api", "changed"), termination("api", "unconfirmed"), SETTLING)
    assert not heard.terminated
    assert [line.text for line in heard.lines] == ["waits 3s to see what that brings"]


def test_a_dry_run_never_says_that_something_was_done() -> None:
    """What a dry run tells is in the conditional."""
    heard = told(
        termination("api", "simulated"),
        event("action_intended", action="restart", service="api"),
        event("action_finished", action="restart", service="api", outcome="simulated"),
        event("incident_relieved", seconds=3.0),
        mode=Mode.DRY_RUN,
    )
    texts = [line.text for line in heard.lines]
    assert texts[0] == "would terminate 1 idle session (1 api); nothing is done"
    assert "would restart api" in texts[1]
    assert texts[2] == "restart of api: simulated"
    assert "would not be critical" in texts[3]
    assert heard.ended


def test_time_is_counted_from_the_demos_start() -> None:
    """The log's clock and the story's agree."""
    heard = told(event("incident_opened", 12.5, because="60 of 60"))
    assert heard.opened_at == 12.5
    assert heard.level is Level.CRITICAL
    assert heard.lines[0].at == 12.5


def test_levels_on_the_way_up_say_why() -> None:
    """Going up has a reason, going down a past."""
    up = event("level_changed", level="alert", previous="monitor", because="34 of 60")
    down = event("level_changed", level="normal", previous="critical", because="conditions cleared")
    heard = told(up, down)
    assert [(line.tone, line.text) for line in heard.lines] == [
        (Tone.ALERT, "level alert: 34 of 60"),
        (Tone.GOOD, "level normal, after critical"),
    ]


def test_refusals_are_said_when_they_begin() -> None:
    """Once for each time the server begins to refuse, not with every cycle."""
    refusing, accepting = event("cycle", probe="refusing"), event("cycle", probe="accepted")
    opened = event("incident_opened", because="full")
    heard = told(refusing, refusing, opened, accepting, refusing)
    texts = [line.text for line in heard.lines]
    assert texts[0] == "the server refuses new connections"
    assert texts[-1] == "the server refuses new connections again"
    assert len(texts) == 3


def plan(acts: int, objections: tuple[str, ...] = ()) -> dict[str, object]:
    """A plan that terminates first and restarts if that does not help."""
    first = {"step": "terminate sessions idle for 4s or longer", "acts": acts, "holds": {"active": 2}}
    second = {"step": "restart celery_worker", "acts": 1, "holds": {}}
    return event("plan_made", steps=[first, second], objections=list(objections))


def test_a_plan_says_what_comes_first_and_what_then() -> None:
    """And its holds are what the report calls spared."""
    heard = told(plan(30))
    expected = "plan: terminate 30 idle sessions, spare the rest; if critical still, restart celery_worker"
    assert [line.text for line in heard.lines] == [expected]
    assert heard.planned
    assert heard.spared == {Objection.ACTIVE: 2}


def test_a_plan_that_waits_is_not_news() -> None:
    """Settling has been said already."""
    heard = told(plan(30, objections=("settling",)))
    assert not heard.lines
    assert not heard.planned


def test_what_the_story_has_no_words_for_is_told_when_it_is_serious() -> None:
    """A warning of the daemon's is never swallowed."""
    heard = told(
        event("ledger_unavailable", because="no space left") | {"severity": "error"},
        event("library", message="chatter"),
    )
    assert [(line.tone, line.text) for line in heard.lines] == [
        (Tone.BAD, "ledger unavailable: no space left")
    ]


def test_the_same_trouble_again_is_said_once() -> None:
    """A fault that comes back with every cycle must not push everything else away."""
    trouble = event("cycle_failed", because="ValueError: no") | {"severity": "error"}
    assert len(told(trouble, trouble, trouble).lines) == 1


@pytest.mark.parametrize(
    ("mode", "name", "ended"),
    [
        (Mode.ENFORCE, "incident_relieved", False),
        (Mode.ENFORCE, "incident_closed", True),
        (Mode.DRY_RUN, "incident_relieved", True),
        (Mode.ENFORCE, "incident_held", True),
        (Mode.DRY_RUN, "incident_held", True),
    ],
)
def test_when_the_story_ends(mode: Mode, name: str, *, ended: bool) -> None:
    """Acting, relief has to last; in a dry run nothing changes after it."""
    last = event(name, seconds=2.0, lasted="9s", because="every step had its turn", round=1)
    assert told(last, mode=mode).ended is ended


def test_relief_that_does_not_last_is_taken_back() -> None:
    """A second round is another story."""
    heard = told(event("incident_relieved", seconds=2.0), event("incident_relapsed", round=2, step=1))
    assert heard.relief_took is None


def test_every_event_with_a_meaning_to_people_has_words() -> None:
    """Warnings and errors have words of their own or are shown as they are; no name is mistyped."""
    for each in Event:
        heard = story()
        fields: dict[str, Any] = {
            "action": "restart", "service": "api", "outcome": "confirmed", "level": "monitor",
            "previous": "normal", "because": "why", "seconds": 1.0, "lasted": "1s", "round": 1, "step": 2,
            "settle": "3s", "steps": [], "objections": [], "services": ["api"], "mode": "enforce",
        }  # fmt: skip
        heard.hear(event(each.event_name, **fields) | {"severity": each.severity.value})
        if each.severity in ("warning", "error"):
            assert heard.lines, each
