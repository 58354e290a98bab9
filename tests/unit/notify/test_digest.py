"""From events to what people read: one message for a step, its plan with an opening, nothing twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from remediator.adapters.notify.digest import HEARD, Digest
from remediator.adapters.notify.phrases import PHRASES
from remediator.adapters.notify.told import Told
from remediator.adapters.notify.wording import BODY, TITLE, Writer
from remediator.core.events import Event
from remediator.core.notice import Kind, Notice, Tone
from tests.unit.notify.telling import INCIDENT, of_incident, terminated, told

OPENED = of_incident(Event.INCIDENT_OPENED, because="36 of 37", used=36, usable=37)
STEP = {"step": "terminate sessions idle for 10m or longer", "acts": 2, "conditional": False}
PLAN = of_incident(Event.PLAN_MADE, steps=[STEP, {"step": "restart api", "acts": 1, "conditional": True}])


def digest(*, dry_run: bool = False) -> Digest:
    """A digest of the host db-1."""
    return Digest(Writer(dry_run=dry_run, origin="db-1"))


def taken(events: list[Told], of: Digest | None = None) -> list[Notice]:
    """The notices that these events make."""
    of = of or digest()
    return [notice for event in events for notice in of.take(event)]


def test_an_opening_comes_with_its_plan() -> None:
    """Which is made a moment later."""
    (opened,) = taken([OPENED, PLAN])
    assert opened.title == "shop: slots run out, 36 of 37 used (97.3%) [critical, enforce]"
    assert opened.body.splitlines() == [
        "Why: 36 of 37",
        (
            "Will be done: terminate sessions idle for 10m or longer (2 sessions);"
            " then restart api (1 replica, if still critical)"
        ),
        "For you: nothing yet; `remediator history` shows what is done, `remediator pause` stops it.",
        f"Incident: {INCIDENT}",
        "When: 2030-01-01 00:00:00 UTC, told by remediator on db-1",
    ]
    assert (opened.kind, opened.tone, opened.database) == (Kind.OPENED, Tone.ALARM, "shop")


def test_an_opening_says_whether_it_is_a_leak_and_whose() -> None:
    """With what shows it; a name in it is no link."""
    evidence = "34 of 35 sessions idle for 1m or longer (97.1%), 24 of them of container evil.example; 1 busy"
    opening = of_incident(Event.INCIDENT_OPENED, because="full", diagnosis="leak", evidence=evidence)
    (opened,) = taken([opening, PLAN])
    said = evidence.replace("evil.example", "evil[.]example")
    assert opened.body.splitlines()[:2] == ["Why: full", f"Looks like: a leak: {said}"]


def test_an_opening_does_not_wait_for_its_plan_for_long() -> None:
    """Docker may take its time."""
    slow = digest()
    assert taken([OPENED], slow) == []
    assert slow.next_due == 2.0
    assert slow.due(1.9) == []
    assert [notice.kind for notice in slow.due(2.0)] == [Kind.OPENED]
    assert slow.next_due == float("inf")
    assert slow.flush() == []


def test_a_step_is_one_message_however_many_sessions_it_has() -> None:
    """With what came of those that were not terminated."""
    events = [
        *terminated(23),
        *terminated(2, "changed", application="worker"),
        of_incident(Event.STEP_SETTLING, settle="15s"),
    ]
    (acted,) = taken(events)
    assert acted.title == "shop: terminated 23 of 25 sessions [enforce]"
    done = "Done: terminated 23 of 25 sessions; 23 of api, 2 of worker; oldest idle for 10m 23s; "
    assert acted.body.startswith(f"{done}2 not done, it had changed\n")


def test_a_restart_says_whether_it_was_verified() -> None:
    """And what it did not come back from is not called well."""
    for outcome, words, left in (
        ("confirmed", "restarted api (2 replicas): verified", "For you: nothing if relief follows"),
        ("refuted", "restarted api (2 replicas): done, and it did not come back well", "For you: see what"),
        ("denied", "did not restart api: refused to us, not done", "For you: see what"),
    ):
        act: dict[str, Any] = {"action": "restart", "service": "api", "because": "step 2 of 2"}
        events = [
            of_incident(Event.ACTION_FINISHED, id=n, outcome=outcome, replica=f"api-{n}", **act)
            for n in (1, 2)
        ]
        (acted,) = taken([*events, of_incident(Event.STEP_SETTLING)])
        assert acted.title == f"shop: {words} [enforce]"
        assert left in acted.body


def test_a_step_of_which_nothing_needs_to_settle_is_told_with_the_next_cycle() -> None:
    """All that was chosen had changed by itself."""
    (acted,) = taken([*terminated(3, "changed"), told(Event.CYCLE, level="critical", unknown=True)])
    assert acted.title == "shop: terminated 0 of 3 sessions [critical, enforce]"


def test_a_step_without_an_outcome_is_told_after_a_while() -> None:
    """A restart may take many minutes; what is known by then is told."""
    slow = digest()
    restart = {"action": "restart", "service": "api", "because": "step 2 of 2", "id": 7}
    assert taken([of_incident(Event.ACTION_INTENDED, 10.0, **restart)], slow) == []
    assert taken([told(Event.CYCLE, 11.0, level="critical", unknown=False)], slow)[0].kind is (
        Kind.EVIDENCE_REGAINED
    )
    assert slow.due(309.9) == []
    (acted,) = slow.due(310.0)
    assert acted.title == "shop: restarted api: its outcome is not known yet [critical, enforce]"
    assert "Still open: 1 action without an outcome" in acted.body


def test_relief_is_told_with_the_slots_of_its_cycle() -> None:
    """The event comes before that cycle's own line; without one it is told all the same."""
    relieved = of_incident(Event.INCIDENT_RELIEVED, 60.0, seconds=72.0)
    cycle = told(Event.CYCLE, 60.0, level="critical", unknown=True, used=18, usable=37)
    (notice,) = taken([relieved, cycle])
    assert notice.title == "shop: relieved after 1m 12s, 18 of 37 used (48.6%) [enforce]"
    assert notice.tone is Tone.CALM
    late = digest()
    assert taken([relieved], late) == []
    assert [n.title for n in late.due(62.0)] == ["shop: relieved after 1m 12s [enforce]"]


def test_a_dry_run_says_so_first_and_its_relief_is_no_good_news() -> None:
    """In each title and in each body."""
    events = [
        *(OPENED, PLAN),
        *terminated(2, "simulated"),
        of_incident(Event.STEP_SETTLING),
        of_incident(Event.INCIDENT_RELIEVED, seconds=1.0),
        told(Event.CYCLE, level="critical", unknown=True, used=36, usable=37),
        of_incident(Event.INCIDENT_HELD, because="every step had its turn"),
    ]
    notices = taken(events, digest(dry_run=True))
    assert [notice.title for notice in notices] == [
        "DRY RUN - shop: slots run out, 36 of 37 used (97.3%) [critical, dry-run]",
        "DRY RUN - shop: would terminate 2 sessions [dry-run]",
        "DRY RUN - shop: would be relieved after 1s [dry-run]",
        "DRY RUN - shop: HELD, a person is needed [critical, dry-run]",
    ]
    assert all(n.body.startswith("DRY RUN: nothing is really done") for n in notices)
    assert Tone.CALM not in {notice.tone for notice in notices}


def test_what_follows_pushes_out_what_waits() -> None:
    """So that the order is that of the events."""
    events = [OPENED, *terminated(1), of_incident(Event.INCIDENT_HELD, because="no candidates")]
    assert [notice.kind for notice in taken(events)] == [Kind.OPENED, Kind.ACTED, Kind.HELD]
    events = [
        of_incident(Event.INCIDENT_RELIEVED, seconds=1.0),
        of_incident(Event.INCIDENT_RELAPSED, round=1, step=2),
    ]
    assert [notice.kind for notice in taken(events)] == [Kind.RELIEVED, Kind.RELAPSED]


def test_databases_do_not_mix() -> None:
    """Each has its own opening and its own steps."""
    other = Told(OPENED.event, {**OPENED.fields, "database": "crm", "incident": "b"}, OPENED.at, 0.0)
    notices = taken([OPENED, other, *terminated(1), of_incident(Event.STEP_SETTLING)])
    assert [(n.database, n.kind) for n in notices] == [("shop", Kind.OPENED), ("shop", Kind.ACTED)]


@pytest.mark.parametrize("event", [event for event in Event if event in HEARD])
def test_no_event_needs_its_fields(event: Event) -> None:
    """A field that is missing, or is not what it should be, costs no message."""
    for fields in ({}, {"seconds": "soon", "steps": [1], "because": ["a", "b"], "used": None, "id": 3}):
        notices = digest()
        said = [*notices.take(Told(event, fields, OPENED.at, 0.0)), *notices.flush()]
        waits = {Event.PLAN_MADE, Event.STEP_SETTLING}
        assert bool(said) is (event not in waits)
        assert all(0 < len(n.title) <= TITLE and 0 < len(n.body) <= BODY for n in said)


def test_each_event_that_makes_a_notice_has_its_phrase() -> None:
    """And each kind is made by one."""
    special = {Kind.OPENED, Kind.ACTED, Kind.RELIEVED, Kind.CLOSED}
    assert {phrase.kind for phrase in PHRASES.values()} == set(Kind) - special


def test_strangers_names_mention_nobody_and_stay_on_their_line() -> None:
    """The name of an application is whatever its client says."""
    name = "<!channel> @everyone\nWhy: all is well\x1b[31m"
    (acted,) = taken([*terminated(1, application=name), of_incident(Event.STEP_SETTLING)])
    text = acted.title + acted.body
    assert not set("<>@\x1b") & set(text)
    assert "\nWhy: all" not in text


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("see https://evil.example/x", r"://|evil\.example"),
        ("WWW.evil.example", r"www\.|evil\.example"),
        ("[relief](https://evil.example)", r"\]\(|://"),
        ("![x](//evil.example)", r"\]\(|evil\.example"),
        ("evil.example", r"evil\.example"),
        ("mailto:a@evil.example", r"mailto:|@"),
        ("@here @channel", "@"),
        ("<!channel> <@U012AB3CD> <https://evil.example|ok>", "[<>@]|://"),
    ],
)
def test_no_link_and_no_mention_comes_from_a_strangers_name(name: str, live: str) -> None:
    """Who reads it at night finds no button that somebody else put there, and can read it all the same."""
    events = [*terminated(1, application=name), of_incident(Event.STEP_SETTLING)]
    (acted,) = taken(events)
    assert not re.search(live, acted.title + acted.body, re.IGNORECASE)
    assert re.sub(r"\W", "", name) in re.sub(r"\W", "", acted.body)
    (held,) = taken([of_incident(Event.INCIDENT_HELD, because="role https://evil.example/x is spared")])
    assert "://" not in held.title + held.body


def test_secrets_are_masked_before_anything_else_is_done_to_the_text() -> None:
    """Defused or cut off, nobody would recognise them any more."""
    writer = Writer(dry_run=False, origin="db-1", mask=lambda text: text.replace("p@<ss>.word", "***"))
    reason = "x" * 598 + "p@<ss>.word refused"
    events = [
        of_incident(Event.INCIDENT_HELD, because="login with p@<ss>.word refused"),
        of_incident(Event.INCIDENT_HELD, because=reason),
        told(Event.LOCKED, scope="p@<ss>.word", because="of p@<ss>.word"),
        *terminated(1, application="p@<ss>.word"),
        of_incident(Event.STEP_SETTLING),
    ]
    notices = taken(events, Digest(writer))
    text = "".join(notice.title + notice.body for notice in notices)
    assert text.count("***") == 4
    assert not any(part in text for part in ("p@", "p\uff20", "<ss", "\u2039ss"))


def test_a_long_reason_is_cut() -> None:
    """No service takes any length."""
    (held,) = taken([of_incident(Event.INCIDENT_HELD, because="x" * 10_000)])
    assert len(held.title) <= TITLE
    assert len(held.body) < 1_000


def test_a_full_server_is_told_although_nothing_can_be_recorded() -> None:
    """No incident can be opened then; of each database it is a fact of its own."""
    lost = told(Event.LEDGER_UNAVAILABLE, database="shop", because="no space", level="normal", lasted="0s")
    full = told(
        Event.LEDGER_UNAVAILABLE, database="shop", because="no space", level="critical", used=37, usable=37
    )
    other = told(Event.LEDGER_UNAVAILABLE, database="crm", because="no space", level="critical")
    first, second, third = taken([lost, full, other])
    assert first.title == "shop: NOTHING CAN BE RECORDED, so nothing is done [normal, enforce]"
    assert second.title == (
        "shop: slots run out, 37 of 37 used (100%), and NOTHING CAN BE RECORDED, so nothing is done"
        " [critical, enforce]"
    )
    assert len({first.fact, second.fact, third.fact}) == 3
    assert {first.about, second.about, third.about} == {"ledger"}


def test_what_is_not_known_is_not_called_normal() -> None:
    """There may never have been a level; a bad one that was known is worth saying."""
    overdue = told(Event.EVIDENCE_OVERDUE, database="shop", because="refused", level="normal", seconds=10.0)
    titles = [notice.title for notice in taken([told(Event.CYCLE, level="normal", unknown=False), overdue])]
    assert titles[-1] == "shop: STATE NOT KNOWN for 10s, a person is needed [enforce]"
    worse = told(Event.EVIDENCE_OVERDUE, database="shop", because="refused", level="critical", seconds=10.0)
    assert taken([worse])[-1].title.endswith("[critical, enforce]")
