"""Who is told what again: a fact once, reminders, and trouble that comes and goes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.adapters.notify.damper import FLAPS_WITHIN, Damper, Verdict
from remediator.core.notice import Kind, Tone
from tests.unit.notify.telling import notice

DEFAULT = frozenset(kind for kind in Kind if kind.default)
HOUR = 3600.0
WORDS = ("lost", "overdue", "regained")


def damper(
    kinds: Collection[Kind] = DEFAULT, remind: float | None = 4 * HOUR, databases: Collection[str] = ()
) -> Damper:
    """Somebody who hears the usual unless told otherwise."""
    return Damper(kinds, databases, timedelta(seconds=remind) if remind else None)


def test_a_fact_is_told_once_and_again_as_a_reminder() -> None:
    """The daemon says it every half hour."""
    held = damper()
    verdicts = [
        held.judge(notice(Kind.HELD, mono=half * HOUR / 2), half * HOUR / 2).value for half in range(18)
    ]
    assert verdicts == [
        "news",
        *["known"] * 7,
        "reminder",
        *["known"] * 7,
        "reminder",
        "known",
    ]


def test_reminders_can_be_switched_off() -> None:
    """Then a fact is told once and for all."""
    held = damper(remind=None)
    assert held.judge(notice(Kind.HELD), 0) is Verdict.NEWS
    assert held.judge(notice(Kind.HELD, mono=900 * HOUR), 900 * HOUR) is Verdict.KNOWN


def test_another_reason_is_another_fact_and_good_news_makes_all_new() -> None:
    """After relief even the same hold is news."""
    held = damper()
    assert held.judge(notice(Kind.HELD, fact="a"), 0) is Verdict.NEWS
    assert held.judge(notice(Kind.HELD, fact="b"), 1) is Verdict.NEWS
    assert held.judge(notice(Kind.HELD, fact="a"), 2) is Verdict.KNOWN
    assert held.judge(notice(Kind.RELIEVED, fact=""), 3) is Verdict.NEWS
    assert held.judge(notice(Kind.HELD, fact="a"), 4) is Verdict.NEWS


def test_what_was_told_before_a_restart_counts() -> None:
    """The next damper begins with the facts of the last."""
    before = damper()
    before.judge(notice(Kind.HELD), 1000)
    after = damper()
    after.facts = before.facts
    assert after.judge(notice(Kind.HELD, mono=60), 5) is Verdict.KNOWN
    assert after.judge(notice(Kind.RELIEVED, fact=""), 6) is Verdict.NEWS


def test_good_news_is_for_those_who_had_the_bad() -> None:
    """Relief without an alarm, and evidence that was only lost for a moment, are none."""
    usual = damper()
    assert usual.judge(notice(Kind.RELIEVED, fact=""), 0) is Verdict.KNOWN
    assert usual.judge(notice(Kind.EVIDENCE_LOST, "evidence shop", "lost"), 1) is Verdict.KNOWN
    assert usual.judge(notice(Kind.EVIDENCE_REGAINED, "evidence shop", ""), 2) is Verdict.KNOWN
    assert usual.judge(notice(Kind.EVIDENCE_OVERDUE, "evidence shop", "overdue"), 3) is Verdict.NEWS
    assert usual.judge(notice(Kind.EVIDENCE_REGAINED, "evidence shop", ""), 4) is Verdict.NEWS


def test_who_wants_only_the_good_news_gets_it() -> None:
    """Though the alarm was not sent."""
    only = damper({Kind.RELIEVED})
    assert only.judge(notice(Kind.OPENED), 0) is Verdict.KNOWN
    assert only.judge(notice(Kind.RELIEVED, fact=""), 1) is Verdict.NEWS
    assert only.judge(notice(Kind.RELIEVED, fact=""), 2) is Verdict.KNOWN


def test_the_end_of_an_incident_is_told_when_its_relief_was_not() -> None:
    """Nobody stays alarmed for ever."""
    usual = damper()
    usual.judge(notice(Kind.OPENED), 0)
    assert usual.judge(notice(Kind.CLOSED, fact=""), 1) is Verdict.NEWS
    usual.judge(notice(Kind.OPENED, "incident b"), 2)
    usual.judge(notice(Kind.RELIEVED, "incident b", ""), 3)
    assert usual.judge(notice(Kind.CLOSED, "incident b", ""), 4) is Verdict.KNOWN


def test_what_flaps_is_told_now_and_then_and_what_lasts_is_not_lost() -> None:
    """At once the first time; later only once the ten minutes are over and it still lasts."""
    usual = damper({Kind.EVIDENCE_LOST, Kind.EVIDENCE_REGAINED})
    told = []
    for second in range(0, 1200, 60):
        for kind, fact, later in ((Kind.EVIDENCE_LOST, "lost", 0), (Kind.EVIDENCE_REGAINED, "", 30)):
            mono = float(second + later)
            told += [n.title for n in usual.due(mono)]
            if usual.judge(notice(kind, "evidence shop", fact, mono), mono) is Verdict.NEWS:
                told.append(f"{kind.word} {mono:g}")
    assert told == ["evidence_lost 0", "evidence_regained 30", "evidence_lost 600", "evidence_regained 630"]
    assert usual.judge(notice(Kind.EVIDENCE_LOST, "evidence shop", "lost", 1190.0), 1190.0) is Verdict.KNOWN
    assert usual.next_due == 1200.0
    assert [n.title for n in usual.due(1200.0)] == ["evidence_lost 1190"]
    assert usual.next_due == float("inf")
    assert usual.judge(notice(Kind.EVIDENCE_REGAINED, "evidence shop", "", 1210.0), 1210.0) is Verdict.NEWS


def test_others_databases_are_nobodys_business() -> None:
    """What concerns the daemon as a whole is everybody's."""
    crm = damper(databases={"crm"})
    assert crm.judge(notice(Kind.OPENED), 0) is Verdict.KNOWN
    assert crm.judge(notice(Kind.OPENED, database="crm"), 0) is Verdict.NEWS
    assert crm.judge(notice(Kind.CYCLE_FAILED, "cycle", database=""), 0) is Verdict.NEWS


def test_a_clock_that_is_set_back_puts_off_no_reminder_for_as_long() -> None:
    """A fact cannot have been told in the future."""
    held = damper()
    held.judge(notice(Kind.HELD, mono=1000 * HOUR), 0)
    assert held.judge(notice(Kind.HELD, mono=0), 1) is Verdict.KNOWN
    assert held.judge(notice(Kind.HELD, mono=4 * HOUR), 2) is Verdict.REMINDER


@pytest.mark.parametrize("kind", [Kind.LOCKED, Kind.LEVEL_CHANGED, Kind.STARTED])
def test_some_things_are_news_each_time(kind: Kind) -> None:
    """A lock after an `ack` is another one."""
    everything = damper(frozenset(Kind))
    assert [everything.judge(notice(kind, "", ""), 0) for _ in range(2)] == [Verdict.NEWS] * 2


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.floats(0.1, 400.0)), max_size=60))
def test_whoever_was_alarmed_is_calmed_and_alarms_are_few(story: list[tuple[str, float]]) -> None:
    """Whatever comes in whatever order: the last thing heard is true, if a flap's time has passed."""
    kinds = {"lost": Kind.EVIDENCE_LOST, "overdue": Kind.EVIDENCE_OVERDUE, "regained": Kind.EVIDENCE_REGAINED}
    usual, mono = damper(frozenset(Kind)), 0.0
    heard: list[tuple[bool, float]] = []
    bad = False
    for word, pause in story:
        mono += pause
        heard += [(True, mono) for _ in usual.due(mono)]
        kind = kinds[word]
        bad = kind.tone is not Tone.CALM
        fact = word if bad else ""
        if usual.judge(notice(kind, "evidence shop", fact, mono), mono) is Verdict.NEWS:
            heard.append((bad, mono))
    mono += FLAPS_WITHIN
    heard += [(True, mono) for _ in usual.due(mono)]
    if heard:
        assert heard[-1][0] is bad
    else:
        assert not bad
    begins = [at for n, (alarm, at) in enumerate(heard) if alarm and (n == 0 or not heard[n - 1][0])]
    assert all(later - earlier >= FLAPS_WITHIN for earlier, later in pairwise(begins))
