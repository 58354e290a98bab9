"""Audits as text, JSON, Markdown and HTML: complete, and harmless whatever names hold."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.assess import Watch, assess
from remediator.core.audit.catalogue import Catalogue, Place, Role, Setting
from remediator.core.audit.compare import compared, snapshot_of
from remediator.core.audit.facts import Churn, Connections, Facts, ServiceFacts
from remediator.core.audit.report import Report, report_on
from remediator.core.model import Mode
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import Act, Plan, StepPlan, TerminateSession
from remediator.core.policy import TerminateIdle
from remediator.core.turn import Turn
from remediator.render.audit import audit_lines, audit_markdown, audit_record, read_snapshots
from remediator.render.audit.html import audit_html
from tests.builders import START, make_group, make_policy, make_sample, make_session

HOSTILE = '<script src="//evil.example/x.js">alert(`1`)</script>|\n# \x1b[2J\u202eevil"\'}}{{7*7}}'
VOID = {"meta", "br", "hr", "img", "input", "link"}


def made(name: str = "celery") -> Report:
    """A report in which everything has something to say, about somebody of this name."""
    group = make_group(count=9, user=name, application=name)
    api = replace(
        make_group(count=3), owner=Owner(OwnerKind.SERVICE, "api"), oldest=START - timedelta(days=1)
    )
    sample = make_sample(used=60, groups=(group, api))
    settings = {"tcp_keepalives_idle": Setting("0", "s"), "statement_timeout": Setting("0", "ms")}
    catalogue = Catalogue(
        name,
        160004,
        reserved_slot=False,
        settings=settings,
        roles=(Role(f"{name}2", limit=10, sessions=9),),
        places=(Place(name, limit=3, sessions=3),),
    )
    services = (ServiceFacts("api", Connections(processes=60, threads=2), 1), ServiceFacts("celery"))
    policy = make_policy()
    facts = Facts(name, policy, sample, catalogue, services, Churn(70, 10.0))
    act = Act(TerminateSession(make_session(user=name, application=name)), "idle")
    step = StepPlan(0, TerminateIdle(timedelta(minutes=10)), proposals=(act,))
    return report_on(facts, Turn(assess(policy, Watch(), sample), Plan(steps=(step,))))


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Each ends what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take note."""
        self.text.append(data)


@pytest.mark.parametrize("name", ["celery", HOSTILE])
def test_the_page_needs_nothing_and_runs_nothing(name: str) -> None:
    """Parsed: no script, no reference to anything outside, everything closed; a policy forbids both, too."""
    page = Page(audit_html([made(name)], Mode.DRY_RUN))
    assert not page.open
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "form", "a", "base"}
    attributes = {key for _, attrs in page.tags for key in attrs}
    assert not attributes & {"src", "href", "srcset", "action"}
    assert not [key for key in attributes if key.startswith("on")]
    policies = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    style = page.text[page.text.index(next(t for t in page.text if ":root" in t))]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_says_everything() -> None:
    """Each finding with its statements, each section, names as they are."""
    report = made()
    text = " ".join(" ".join(Page(audit_html([report], Mode.ENFORCE)).text).split())
    for finding in report.findings:
        assert finding.id in text
        assert " ".join(finding.evidence.split()) in text
        assert all(statement in text for statement in finding.statements)
    for title in ("Head-room", "Idle sessions by age", "Connection limits", "Connection budget"):
        assert title in text
    assert "ALTER SYSTEM SET max_connections" in text
    assert "terminate sessions idle for 10m or longer" in text
    assert "critical 90%" in text


def test_what_has_changed_is_said_first() -> None:
    """Before the findings, which may be many and the same as last week."""
    first = made()
    report = compared(first, replace(snapshot_of(first), used=1, at=START - timedelta(days=7)))
    assert "+59 used slots, 60 now" in report.changes
    page = " ".join(Page(audit_html([report], Mode.ENFORCE)).text)
    for text in ("\n".join(audit_lines(report)), audit_markdown([report]), page):
        changed, found = text.index("59 used slots"), text.index(report.findings[0].title)
        assert text.index("findings:") < changed < found
        assert text.count("Since the last audit") == 1


def test_names_are_text_on_a_terminal() -> None:
    """Nothing in them moves the cursor or begins a line of its own."""
    lines = list(audit_lines(made(HOSTILE)))
    assert all(line.isprintable() for line in lines)
    assert any("<script src" in line for line in lines)


def test_names_are_text_in_markdown() -> None:
    """Outside of code none of their signs means anything; code ends where it should."""
    text = audit_markdown([made(HOSTILE)])
    assert "\x1b" not in text
    fence = None
    for line in text.splitlines():
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if len(ticks) >= 3 and fence in (None, ticks):
            fence = None if fence else ticks
            continue
        if fence is None and "script" in line:
            assert "\\<script" in line
            assert "\\|" in line
    assert fence is None
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables


def test_the_record_is_json_and_holds_what_is_compared() -> None:
    """Written, read back, and compared: nothing has changed."""
    report = made(HOSTILE)
    record = json.loads(json.dumps(audit_record([report], Mode.DRY_RUN, START)))
    assert record["worst"] == "problem"
    (database,) = record["databases"]
    assert [f["id"] for f in database["findings"]] == [f.id for f in report.findings]
    assert database["severities"]["problem"] >= 1
    assert database["budget"]["peak"] == 177
    before = read_snapshots(record)[report.facts.database]
    assert before == snapshot_of(report)
    assert compared(report, before).changes == (f"{len(before.findings)} findings as before",)


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner)),
)


@given(junk, st.sampled_from(["at", "slots", "sessions", "findings", "database"]))
def test_whatever_is_in_a_file_it_is_an_audit_or_refused(value: object, key: str) -> None:
    """Never another error than the one that says so."""
    with pytest.raises(ValueError, match="audit"):
        read_snapshots(value)
    record = json.loads(json.dumps(audit_record([made()], Mode.DRY_RUN, START)))
    record["databases"][0][key] = value
    try:
        before = read_snapshots(record)
    except ValueError:
        return
    for snapshot in before.values():
        assert compared(made(), snapshot).since == snapshot.at


def test_a_server_that_cannot_be_read_is_told_in_every_form() -> None:
    """Without slots, budget or bars."""
    sample = make_sample(used=None)
    policy = make_policy()
    report = report_on(Facts("shop", policy, sample), Turn(assess(policy, Watch(), sample)))
    assert "no route to host" in "\n".join(audit_lines(report))
    assert "no route to host" in audit_markdown([report])
    assert "no route to host" in audit_html([report], Mode.DRY_RUN)
    (database,) = audit_record([report], Mode.DRY_RUN, START)["databases"]
    assert (database["level"], database["slots"], database["plan"]) == ("unknown", None, None)
