"""Growth, churn, latency: what the last minutes say and do not say, and the conditions that rest on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.assess import Assessment, Watch, assess
from remediator.core.diagnosis import Kind, diagnose
from remediator.core.model import Evidence, Level, Probe, ProbeResult, Sample
from remediator.core.owner import Owner, OwnerKind
from remediator.core.policy import Conditions, LevelRule, Policy, Rate
from remediator.core.server import Counters
from remediator.core.trend import WINDOW
from tests.builders import REFUSED, make_group, make_policy, make_sample, moment

SECOND = timedelta(seconds=1)


def policy(conditions: Conditions) -> Policy:
    """One whose alert level has these conditions and lasts no time."""
    return make_policy(levels={Level.ALERT: LevelRule(conditions)})


def judged(conditions: Conditions, samples: Sequence[Sample]) -> Assessment:
    """The last of several samples, judged after the others."""
    watch, asked = Watch(), policy(conditions)
    for sample in samples[:-1]:
        watch = assess(asked, watch, sample).watch
    return assess(asked, watch, samples[-1])


def series(used: Callable[[float], float], *, every: float = 10.0, seconds: float = 120.0) -> list[Sample]:
    """Samples of 100 usable slots, taken regularly."""
    times = [n * every for n in range(int(seconds / every) + 1)]
    return [make_sample(used=round(used(t)), at=moment(t)) for t in times]


def counted(begun: Sequence[int], *, every: float = 10.0) -> list[Sample]:
    """Samples in which the server has counted so many sessions."""
    return [
        replace(make_sample(used=10, at=moment(n * every)), counters=Counters(total, 0, 0, 0))
        for n, total in enumerate(begun)
    ]


SOON = Conditions(exhausted_within=timedelta(minutes=10))


def test_steady_growth_is_extrapolated() -> None:
    """Six a minute from 40 leave 48 slots after two minutes: eight minutes."""
    assessment = judged(SOON, series(lambda t: 40 + t / 10))
    assert assessment.level is Level.ALERT
    growth = assessment.sample.trend.growth()
    assert growth is not None
    assert growth.per_second == pytest.approx(0.1)
    assert growth.exhausted_in == pytest.approx(480)
    assert "no slot left in 8m if this goes on (+6.0 sessions per minute, 40 to 52 in 2m" in (
        assessment.because(Level.ALERT)
    )


@pytest.mark.parametrize(
    ("used", "text"),
    [
        (lambda _: 60, "no steady growth"),
        (lambda t: 60 - t / 10, "no steady growth"),
        (lambda t: 60 + (t / 10) % 2 * 4, "no steady growth"),
        (lambda t: 40 if t < 115 else 80, "no steady growth"),
        (lambda t: 20 + t / 30, "no slot left in 37m"),
    ],
    ids=["flat", "falling", "noise", "a jump", "slow"],
)
def test_what_is_no_threat_is_clear(used: Callable[[float], float], text: str) -> None:
    """A jump is over, noise comes back, and what takes longer than asked can wait."""
    assessment = judged(SOON, series(used))
    assert assessment.level is Level.NORMAL
    assert text in assessment.findings[-1].text


@pytest.mark.parametrize("at", range(1, 13))
def test_a_jump_is_no_trend_wherever_in_the_window_it_is(at: int) -> None:
    """A deploy that doubles the sessions is over when it is over."""
    samples = series(lambda t: 20 if t < at * 10 else 45)
    for length in range(4, len(samples) + 1):
        assert judged(SOON, samples[:length]).level is Level.NORMAL


def test_too_little_to_go_by_is_no_reason_for_concern() -> None:
    """After a start there is no trend: that is not unknown evidence, which would call a person."""
    for samples in (series(lambda t: t, seconds=0), series(lambda t: 4 * t, every=5, seconds=15)):
        (finding,) = judged(SOON, samples).findings
        assert (finding.evidence, finding.text) == (Evidence.CLEAR, "no trend yet")
    (finding,) = judged(SOON, [make_sample(used=None)]).findings
    assert finding.evidence is Evidence.UNKNOWN


def test_a_trend_looks_back_no_further_than_its_window() -> None:
    """And a sample without a reading neither adds nor ends anything."""
    samples = series(lambda _: 50, every=5.0, seconds=2 * WINDOW)
    blind = make_sample(used=None, at=moment(2 * WINDOW + 5))
    readings = judged(SOON, [*samples, blind]).watch.trend.readings
    assert readings[-1].mono - readings[0].mono == WINDOW
    later = judged(SOON, [*samples, make_sample(used=50, at=moment(9 * WINDOW))]).watch.trend
    assert len(later.readings) == 1
    assert later.growth() is None


@given(st.lists(st.integers(0, 100), max_size=40), st.floats(1, 60))
def test_whatever_comes_the_time_to_exhaustion_is_positive_or_none(used: list[int], every: float) -> None:
    """No series leads to an error, or to a time that has passed."""
    watch = Watch()
    for n, slots in enumerate(used):
        watch = assess(policy(SOON), watch, make_sample(used=slots, at=moment(n * every))).watch
    growth = watch.trend.growth()
    if growth is not None and growth.exhausted_in is not None:
        assert growth.exhausted_in >= 0
        assert growth.last > growth.first


@pytest.mark.parametrize(
    ("begun", "churn"),
    [
        ([0, 500, 1000, 1500], 50.0),
        ([0, 0, 0, 300], 10.0),
        ([9000, 9500, 20, 30], None),
        ([0], None),
        ([0, 600], None),
    ],
    ids=["steady", "burst", "statistics reset", "first", "too soon"],
)
def test_churn_is_counted_by_the_server(begun: Sequence[int], churn: float | None) -> None:
    """Over about a minute; what is gone between two samples counts, too."""
    assessment = judged(Conditions(churn=Rate(40, SECOND)), counted(begun))
    assert assessment.sample.trend.churn() == churn
    assert (assessment.level is Level.ALERT) is (churn is not None and churn >= 40)


def test_before_there_are_counters_young_sessions_are_a_lower_bound() -> None:
    """As many as began within a minute and are there still."""
    sample = replace(make_sample(), recent=90)
    assert judged(Conditions(churn=Rate(1, SECOND)), [sample]).level is Level.ALERT
    assert judged(Conditions(churn=Rate(2, SECOND)), [sample]).level is Level.NORMAL


@pytest.mark.parametrize(
    ("probe", "evidence"),
    [
        (Probe(ProbeResult.ACCEPTED, seconds=0.6), Evidence.BREACH),
        (Probe(ProbeResult.ACCEPTED, seconds=0.4), Evidence.CLEAR),
        (REFUSED, Evidence.CLEAR),
        (Probe(ProbeResult.UNAVAILABLE, detail="timed out"), Evidence.UNKNOWN),
        (None, Evidence.UNKNOWN),
    ],
)
def test_the_time_it_takes_to_connect(probe: Probe | None, evidence: Evidence) -> None:
    """Measured by the probe; a refusal is quick, and another condition's business."""
    asked = Conditions(connect_latency=timedelta(milliseconds=500))
    (finding,) = judged(asked, [make_sample(probe=probe)]).findings
    assert finding.evidence is evidence


API = Owner(OwnerKind.SERVICE, "api")


@pytest.mark.parametrize(("idle", "busy", "kind"), [(60, 36, "leak"), (48, 48, "leak"), (40, 56, "peak")])
def test_a_leak_is_told_from_a_peak_by_what_the_sessions_do(idle: int, busy: int, kind: str) -> None:
    """Half of them used by nobody, or half of them busy."""
    groups = (
        replace(make_group(count=idle, idle_for_at_least=60.0), owner=API, unused=True),
        make_group(count=busy, state="active", idle_for_at_least=0.0),
    )
    found = diagnose(make_policy(), Level.ALERT, make_sample(groups=groups))
    assert found is not None
    assert found.kind is Kind(kind)
    assert f"{idle} of 96 sessions idle for 1m or longer" in found.text
    assert f", {idle} of them of api, {idle} never used; {busy} busy" in found.text


def test_a_leak_that_has_just_begun_is_not_called_a_peak() -> None:
    """Its sessions are not old enough for a leak; but nobody is busy."""
    young = make_sample(groups=(make_group(count=96, idle_for_at_least=10.0),))
    found = diagnose(make_policy(), Level.CRITICAL, young)
    assert found is not None
    assert found.kind is Kind.UNCLEAR
    assert found.text == "0 of 96 sessions idle for 1m or longer (0%); not yet for 1m: 96 idle; 0 busy"


def test_what_cannot_be_seen_is_not_diagnosed() -> None:
    """No sessions, no slots: no opinion; nor while there is no trouble."""
    assert diagnose(make_policy(), Level.CRITICAL, make_sample()) is None
    assert diagnose(make_policy(), Level.CRITICAL, make_sample(used=None)) is None
    assert diagnose(make_policy(), Level.MONITOR, make_sample(groups=(make_group(count=96),))) is None
