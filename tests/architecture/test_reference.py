"""The reference pages and the code say the same, in both directions."""

from __future__ import annotations

import ast
import re
import runpy
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from remediator.adapters.metrics import Metrics
from remediator.cli.exits import Exit
from remediator.core.assess import Watch, assess
from remediator.core.audit.rules import RULES
from remediator.core.events import Event
from remediator.core.incident import open_incident
from remediator.core.ledger import Entry, Intent, Outcome, Result
from remediator.core.maintenance import Window
from remediator.core.model import Mode
from remediator.core.plan import Act, Action, Objection, Plan, RestartReplica, StepPlan, TerminateSession
from remediator.cycle.telling import Teller
from remediator.testing import FakeClock
from tests.builders import (
    START,
    make_policy,
    make_replica,
    make_sample,
    make_session,
)

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"
# Those that an event about a database and an incident has anyway; the page says so once.
COMMON = {"database", "mode", "incident"}


def rows(text: str) -> list[list[str]]:
    """The rows of a page's tables that are about something written as code, or a number; their cells."""
    found = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| *(`|\d)", line)]
    return [[cell.strip() for cell in row] for row in found]


def read(page: str) -> str:
    """The text of a reference page."""
    return (PAGES / page).read_text(encoding="utf-8")


def documented() -> dict[str, tuple[str, str, str]]:
    """Severity, meaning and fields of each event, by its name."""
    return {row[0].strip("`"): (row[1], row[2], row[3]) for row in rows(read("events.md"))}


def words(text: str) -> set[str]:
    """What is written as code."""
    return set(re.findall(r"`(\w+)`", text))


def test_help_page_is_what_help_says() -> None:
    """When this fails: scripts/help-pages."""
    page = runpy.run_path(str(ROOT / "scripts" / "help-pages"), run_name="help_pages")["page"]
    assert (PAGES / "cli.md").read_text(encoding="utf-8") == page()


def test_findings_page_is_what_the_rules_say() -> None:
    """When this fails: scripts/findings-page."""
    page = runpy.run_path(str(ROOT / "scripts" / "findings-page"), run_name="findings_page")["page"]
    assert read("findings.md") == page()
    assert len(rows(read("findings.md"))) == len({rule.id for rule in RULES}) == len(RULES)


def test_every_event_is_listed_as_it_is() -> None:
    """Name, severity, meaning; none more, none less, none twice."""
    listed = {name: (severity, meaning) for name, (severity, meaning, _) in documented().items()}
    assert listed == {event.event_name: (event.severity.value, event.meaning) for event in Event}
    assert len(rows(read("events.md"))) == len(Event)


@cache
def emitted() -> dict[Event, set[str]]:
    """Each event that the code says somewhere, with the fields that are named where it is said."""
    found: dict[Event, set[str]] = {}
    for path in (ROOT / "remediator").rglob("*.py"):
        if "demo" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            what = node.args[0]
            if node.func.attr == "emit" and ast.unparse(what).startswith("Event."):
                event = Event[ast.unparse(what).removeprefix("Event.")]
                found.setdefault(event, set()).update(k.arg for k in node.keywords if k.arg)
    return found


def test_every_event_is_said_somewhere() -> None:
    """The page promises none that never comes."""
    # What libraries log gets its name where the log is set up.
    assert set(emitted()) == set(Event) - {Event.LIBRARY}


@pytest.mark.parametrize("event", list(Event))
def test_every_field_that_is_named_in_the_code_is_listed(event: Event) -> None:
    """Fields that are put together elsewhere are tried below."""
    fields = documented()[event.event_name][2]
    assert emitted().get(event, set()) - COMMON <= words(fields)


def intent(action: Action) -> Intent:
    """An intent to do this."""
    return Intent("one", "shop", 1, 0, action, "old", START)


class Recorder:
    """An observer that keeps the names of the fields it was told."""

    def __init__(self) -> None:
        self.fields: dict[Event, set[str]] = {}

    def emit(self, event: Event, **fields: object) -> None:
        """Take note."""
        self.fields.setdefault(event, set()).update(fields)


def test_every_field_that_a_cycle_tells_is_listed() -> None:
    """The lines with the most fields, made for real."""
    recorder = Recorder()
    teller = Teller(recorder, "shop", Mode.ENFORCE)
    policy = make_policy()
    for sample in (make_sample(), make_sample(used=None)):
        assessment = assess(policy, Watch(), sample)
        incident = open_incident("one", "shop", sample, "because")
        teller.assessment(assessment, timedelta(0))
        teller.maintenance(Window(START, "deploy"))
        teller.cycle(assessment, incident, 0.1)
        actions: tuple[Action, ...] = (TerminateSession(make_session()), RestartReplica(make_replica()))
        for number, action in enumerate(actions):
            step = StepPlan(number, policy.remediate.steps[number], proposals=(Act(action, "old"),))
            teller.plan(incident, Plan(steps=(step,)), sample.moment)
            teller.plan(incident, Plan(objections=(Objection.LOCKED,)), sample.moment)
            teller.plan(incident, Plan(objections=(Objection.PAUSED,)), sample.moment)
            entry = Entry(number, intent(action))
            teller.intended(incident, entry)
            teller.finished(entry, Outcome(Result.CONFIRMED, START, "gone"))
    (targets,) = re.findall(r"^`action` is.*?^`outcome`", read("events.md"), re.MULTILINE | re.DOTALL)
    for event, fields in recorder.fields.items():
        listed = words(documented()[event.event_name][2])
        if event in (Event.ACTION_INTENDED, Event.ACTION_FINISHED):
            listed |= words(targets)
        assert fields - COMMON <= listed, event.event_name
    assert {Event.CYCLE, Event.PLAN_MADE, Event.ACTION_FINISHED} <= set(recorder.fields)


def test_every_metric_is_listed_as_it_is() -> None:
    """Name, kind, labels, meaning; none more, none less."""
    listed = [tuple(row) for row in rows(read("metrics.md")) if row[0].startswith("`remediator_")]
    assert listed == [
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels) or "none", meaning)
        for name, kind, labels, meaning in Metrics(FakeClock()).declared()
    ]
    assert len(listed) > 20


def test_every_exit_code_is_listed_as_it_is() -> None:
    """Number and name."""
    listed = [(row[0], row[1]) for row in rows(read("exit-codes.md")) if row[0].isdigit()]
    assert listed == [(str(code.value), f"`{code.name}`") for code in Exit]


def test_every_objection_is_listed_as_it_is() -> None:
    """The value and its words; none more, none less."""
    objections, _, _ = read("objections.md").partition("\n## Results")
    listed = [(row[0].strip("`"), row[1]) for row in rows(objections)]
    assert sorted(listed) == sorted((o.value, o.meaning) for o in Objection)


def test_every_result_is_listed_and_whether_it_counts() -> None:
    """What the ledger charges is what the page says."""
    _, _, results = read("objections.md").partition("\n## Results")
    listed = {row[0].strip("`"): row[2] for row in rows(results)}
    assert set(listed) == set(Result)
    for result in Result:
        entry = Entry(1, intent(TerminateSession(make_session())), Outcome(result, START))
        assert listed[result].startswith("yes" if entry.charged else "no"), result
