"""The story of one incident as `history show` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from remediator import render
from remediator.core.assess import Watch, assess
from remediator.core.ledger import Entry, Incident, Result
from remediator.core.model import Level, Mode
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import (
    Act,
    Hold,
    Objection,
    Plan,
    RestartReplica,
    StepPlan,
    Survey,
    TerminateSession,
)
from remediator.core.reading import Reading, reading_of
from remediator.core.turn import Turn
from remediator.render.bundle import Bundle
from remediator.render.layout import table
from tests.builders import (
    DATABASE,
    START,
    STEPS,
    make_entry,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_session,
    moment,
)

POLICY = make_policy()
CELERY = Owner(OwnerKind.SERVICE, "celery")
SESSIONS = tuple(
    replace(make_session(pid=pid, idle_for=600.0 + pid), owner=CELERY) for pid in range(100, 122)
)


def reading(
    seconds: float, incident: Incident | None = None, plan: Plan | None = None, *, used: int = 96
) -> Reading:
    """A reading this long after the beginning."""
    level = Level.CRITICAL if incident else Level.NORMAL
    assessment = assess(POLICY, Watch(), make_sample(used=used, at=moment(seconds)))
    turn = Turn(replace(assessment, level=level), plan, incident, survey=Survey(SESSIONS, {}))
    return reading_of(DATABASE, POLICY, "one", turn, Mode.ENFORCE, "run")


def bundle(
    incident: Incident, readings: Sequence[Reading], entries: Sequence[Entry] = (), mode: Mode = Mode.ENFORCE
) -> Bundle:
    """What comes together of these."""
    gathering = render.Gathering(incident)
    for one in readings:
        gathering.read(one)
    return gathering.bundle(entries, mode)


def lines(of: Bundle, width: int = 100) -> list[str]:
    """Its lines for a terminal."""
    return list(render.bundle_lines(of, markdown=False, width=width))


def eventful() -> Bundle:
    """An incident with terminations and a restart that is held as a whole."""
    held, why = (Objection.NOT_CULPRIT,), "held by celery: 22 leaked sessions: celery 22 (100%)"
    replica = make_replica(service="api")
    plan = Plan(
        (
            StepPlan(0, STEPS[0], tuple(Act(TerminateSession(s), "idle for long") for s in SESSIONS)),
            StepPlan(1, STEPS[2], (Hold(RestartReplica(replica), held, why),), held, why),
        )
    )
    entries = [
        make_entry(id=n, action=TerminateSession(s), result=Result.CONFIRMED) for n, s in enumerate(SESSIONS)
    ]
    return bundle(make_incident(), [reading(0, make_incident(), plan)], entries)


def test_each_session_is_told_once() -> None:
    """With its outcome; what was decided tells how many of whom."""
    told = "\n".join(lines(eventful(), 300))
    for session in SESSIONS:
        assert told.count(f" {session.id.pid} (celery)") == 1
    assert "22 sessions of celery (celery)" in told
    assert "idle for 11m 40s to 12m 1s" in told


def test_a_step_that_is_held_as_a_whole_is_told_once() -> None:
    """With the name of what it would have restarted."""
    told = lines(eventful(), 300)
    held = [line for line in told if "another service holds" in line and " hold " in line]
    assert len(held) == 1
    assert "shop-api-1" in held[0]
    assert not [line for line in told if "all of it" in line]


def test_a_plan_without_a_step_says_why() -> None:
    """What is left of a ladder that has been climbed, as it stands when relief comes and when it does not."""
    first = reading(0, make_incident(), Plan(objections=(Objection.SETTLING,)))
    spent = Plan(exhausted=True, detail="a dry run cannot see it")
    for plan, why in (
        (Plan(relieved=True), "no longer critical"),
        (spent, "every step had its turn, and it is critical still; a dry run cannot see it"),
    ):
        told = lines(bundle(make_incident(), [first, reading(15, make_incident(), plan)]), 200)
        (line,) = (one for one in told if one.split()[:4] == ["all", "nothing", "to", "do"])
        assert line.endswith(f" {why}")


def test_no_line_is_wider_than_the_terminal() -> None:
    """Whatever there is to tell, and nothing is lost by it."""
    narrow, wide = lines(eventful(), 80), lines(eventful(), 1000)
    assert max(map(len, narrow)) <= 80
    assert max(map(len, wide)) > 100
    words = [sorted("".join(told).replace("=", "").replace(" ", "")) for told in (narrow, wide)]
    assert words[0] == words[1]


texts = st.text(st.sampled_from("ab 19-"), max_size=60)


@given(st.lists(st.tuples(texts, texts, texts, texts), min_size=1, max_size=4), st.integers(60, 200))
def test_a_table_fits_and_keeps_its_words(rows: list[tuple[str, ...]], width: int) -> None:
    """At any width that leaves each column a few characters."""
    found = list(table(rows, width))
    assert all(len(line) <= width for line in found)
    assert sorted("".join(found).replace(" ", "")) == sorted("".join(map("".join, rows)).replace(" ", ""))


def test_the_reading_after_it_is_the_one_that_ended_it() -> None:
    """Not a later one, which may be of the next leak; and none when nothing was read soon."""
    closed = make_incident(closed_at=START + timedelta(seconds=60))
    during = reading(0, make_incident())
    ending, later = reading(60, used=3), reading(90, used=47)
    other = reading(70, replace(make_incident(), id="i2"), used=96)

    def after(*readings: Reading) -> list[Reading]:
        return [look for when, look in bundle(closed, (during, *readings)).looks if when == "after"]

    assert [look.at for look in after(ending, later, other)] == [ending.at]
    assert after(other) == []
    assert after(reading(60 + 180, used=90)) == []


def test_a_dry_run_says_neither_relieved_nor_failed() -> None:
    """Rounds of it never fail; who brought relief cannot be known."""
    incident = make_incident(round=2, relieved_at=START + timedelta(seconds=63))
    entries = [make_entry(result=Result.SIMULATED)]
    told = "\n".join(lines(bundle(incident, (), entries, Mode.DRY_RUN)))
    assert "no longer critical (as simulated, or in fact)" in told
    assert "without relief" not in told
    assert "2, of which 0 without relief" in "\n".join(lines(bundle(incident, (), entries)))
