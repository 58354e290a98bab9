"""How sessions ended: by the server's counters, without those that we ended ourselves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.assess import Watch, assess
from remediator.core.diagnosis import Diagnosis
from remediator.core.model import Sample, SessionGroup
from remediator.core.server import Counters, Endings
from remediator.core.trend import NO_TREND, WINDOW, Trend, recalled
from tests.builders import make_group, make_policy, make_sample, make_server, moment


def sample(
    at: float, counters: Counters | None, *, signalled: int | None = 0, groups: tuple[SessionGroup, ...] = ()
) -> Sample:
    """One reading of a server's counters."""
    taken = make_sample(used=96, at=moment(at), groups=groups)
    return replace(taken, counters=counters, signalled=signalled)


def told(*samples: Sample) -> Trend:
    """The trend of several samples."""
    trend = NO_TREND
    for one in samples:
        trend = trend.tell(one)
    return trend


@dataclass(frozen=True)
class Stretch:
    """What happens between two readings, in sessions."""

    abandoned: int
    fatal: int
    by_others: int
    signalled: int
    late: int


stretches = st.lists(
    st.builds(Stretch, *(st.integers(0, 9) for _ in range(4)), st.integers(0, 9)), min_size=1, max_size=20
)


def lived(stretches: list[Stretch], *, every: float = 10.0) -> tuple[Trend, int]:
    """The trend of that life, and how many sessions that we signalled had not ended yet at its end."""
    counters, signalled, ending = Counters(100, 1, 2, 3), 0, 0
    trend = told(sample(0.0, counters))
    for n, one in enumerate(stretches, start=1):
        signalled += one.signalled
        ending += one.signalled
        gone = max(0, ending - one.late)
        ending -= gone
        counters = Counters(
            counters.begun + 1,
            counters.abandoned + one.abandoned,
            counters.fatal + one.fatal,
            counters.killed + one.by_others + gone,
        )
        trend = trend.tell(sample(n * every, counters, signalled=signalled))
    return trend, ending


@given(stretches)
def test_what_we_ended_is_never_taken_for_somebody_elses_doing(lives: list[Stretch]) -> None:
    """However late a session goes after our signal: while nobody else ends any, nobody else is blamed."""
    trend, _ = lived([replace(one, by_others=0) for one in lives])
    ended = trend.endings()
    assert ended is not None
    assert ended.killed == 0
    assert (ended.abandoned, ended.fatal) == (sum(s.abandoned for s in lives), sum(s.fatal for s in lives))


@given(stretches)
def test_what_others_ended_is_counted_exactly_once_ours_are_gone(lives: list[Stretch]) -> None:
    """While some of ours are on their way out it is at least nearly so, and never too many."""
    trend, _ = lived([replace(one, late=0) for one in lives])
    ended = trend.endings()
    assert ended is not None
    assert ended.killed == sum(one.by_others for one in lives)
    trend, ending = lived(lives)
    ended = trend.endings()
    assert ended is not None
    others = sum(one.by_others for one in lives)
    assert others - ending <= ended.killed <= others


@given(stretches, st.integers(0, 200))
def test_more_that_others_end_is_never_counted_as_less(lives: list[Stretch], more: int) -> None:
    """Whatever else goes on."""
    plain, _ = lived(lives)
    worse, _ = lived([*lives[:-1], replace(lives[-1], by_others=lives[-1].by_others + more)])
    fewer, many = plain.endings(), worse.endings()
    assert fewer is not None
    assert many is not None
    assert fewer.killed <= many.killed


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([sample(0, Counters(1, 1, 1, 1))], None),
        ([sample(0, None), sample(9, None)], None),
        ([sample(0, Counters(9, 5, 5, 5)), sample(9, Counters(10, 6, 7, 8))], Endings(1, 2, 3)),
        ([sample(0, Counters(9, 5, 5, 5)), sample(9, Counters(1, 0, 0, 9))], None),
        (
            [
                sample(0, Counters(9, 5, 5, 5)),
                sample(5, Counters(0, 0, 0, 0)),
                sample(9, Counters(1, 0, 1, 0)),
            ],
            Endings(0, 1, 0),
        ),
        (
            [
                sample(0, Counters(9, 5, 5, 5), signalled=7),
                sample(9, Counters(9, 5, 5, 9), signalled=0),
            ],
            None,
        ),
    ],
    ids=["first look", "before 14", "plain", "reset", "after a reset", "counted by another process"],
)
def test_what_can_be_told(samples: list[Sample], expected: Endings | None) -> None:
    """Nothing is made up where there is nothing to go by."""
    assert told(*samples).endings() == expected


def test_endings_are_those_of_the_window_or_since_a_moment() -> None:
    """What is older is forgotten; what was told of already is not told of again."""
    trend = told(*(sample(n * 30.0, Counters(n, n, 0, 0)) for n in range(20)))
    assert trend.seconds == WINDOW
    assert trend.endings() == Endings(abandoned=10)
    assert trend.endings(moment(17 * 30.0).mono) == Endings(abandoned=2)
    assert trend.endings(moment(19 * 30.0).mono) is None


def test_a_single_look_is_led_up_to_by_what_was_recorded() -> None:
    """Of the same server, by another process, whose monotonic clock is not ours."""
    recorded = [
        replace(sample(n * 10.0, Counters(n, 0, 0, n), signalled=4), moment=moment(n * 10.0, jumped=-5.0))
        for n in range(10)
    ]
    away = replace(recorded[2], server=replace(make_server(), started_at=moment(5).at))
    late, early = (replace(recorded[0], moment=moment(at)) for at in (95, -400))
    recorded = [early, *recorded[:5], away, *recorded[5:], make_sample(used=None), late]
    now = replace(sample(90.0, Counters(30, 0, 0, 30), signalled=None), server=make_server())
    recorded = [replace(one, server=one.server or make_server()) for one in recorded]
    trend = recalled(recorded, now).tell(now)
    assert [round(reading.mono - 1000) for reading in trend.readings] == [*range(-5, 90, 10), 90]
    assert trend.endings() == Endings(killed=9)  # who ended the others since the last record is not known
    assert recalled([], now) == NO_TREND


def diagnosed(*groups: SessionGroup, ended: Endings | None = None) -> Diagnosis:
    """What is said of a critical database with these sessions."""
    policy, watch = make_policy(), Watch()
    if ended is not None:
        watch = assess(policy, watch, sample(0, Counters(0, 0, 0, 0))).watch
    now = Counters(0, ended.abandoned, ended.fatal, ended.killed) if ended else None
    found = assess(policy, watch, sample(120, now, groups=groups)).diagnosis
    assert found is not None
    return found


def test_signs_say_what_the_sessions_point_to() -> None:
    """Only what is seen, each with its figure; a leak of sessions that were used has no signs."""
    idle, busy = make_group(count=60), make_group(count=36, state="active", idle_for_at_least=0.0)
    assert diagnosed(idle, busy).signs == ()
    assert diagnosed(replace(idle, unused=True), make_group(count=36), busy).signs == (
        "60 never ran a statement: a pool opens more than is needed, or a fork inherited them",
    )
    assert diagnosed(replace(make_group(count=9), unused=True), idle).signs == ()
    assert diagnosed(idle, make_group(count=7, state="idle in transaction")).signs == (
        "7 sessions idle in a transaction that nobody ends; such are never terminated",
    )


def test_signs_say_how_sessions_ended() -> None:
    """By whom or what, and over which time; they are part of the evidence that is recorded."""
    found = diagnosed(make_group(count=96), ended=Endings(12, 1, 3))
    assert found.signs == (
        "12 sessions abandoned in the last 2m: clients vanish (killed, or lost from the network)",
        "1 session ended by fatal errors in the last 2m: the server's log names them",
        "3 sessions ended by somebody else in the last 2m: an operator, another tool",
    )
    assert found.evidence == "; ".join((found.text, *found.signs))
    assert diagnosed(make_group(count=96), ended=Endings()).signs == ()
