"""Levels: what a sample says about each, and how long it must say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.core.assess import Assessment, Watch, assess, critical_evidence, only_logins
from remediator.core.model import Evidence, Level, Probe, ProbeResult, Sample
from remediator.core.policy import ClearRule, Conditions, IdleCount, LevelRule, Policy
from tests.builders import ACCEPTED, REFUSED, TEN_MINUTES, make_group, make_policy, make_sample, moment

AT_ONCE = {
    Level.MONITOR: LevelRule(Conditions(0.2, IdleCount(TEN_MINUTES, 1))),
    Level.ALERT: LevelRule(Conditions(0.5, IdleCount(TEN_MINUTES, 10))),
    Level.CRITICAL: LevelRule(Conditions(0.9, refusing_connections=True)),
}
UNAVAILABLE = Probe(ProbeResult.UNAVAILABLE, "57P03", "the database system is starting up")


def follow(policy: Policy, samples: Sequence[Sample], watch: Watch | None = None) -> list[Assessment]:
    """Assess samples one after the other."""
    watch = watch or Watch()
    assessments = []
    for sample in samples:
        assessments.append(assess(policy, watch, sample))
        watch = assessments[-1].watch
    return assessments


def timeline(
    policy: Policy, *readings: tuple[float, int | None], probe: Probe | None = ACCEPTED
) -> list[Level]:
    """The levels after readings of used slots (of 100), each at so many seconds."""
    samples = [
        make_sample(used=used, at=moment(at), probe=probe if used is not None else None)
        for at, used in readings
    ]
    return [assessment.level for assessment in follow(policy, samples)]


@pytest.mark.parametrize(
    ("used", "level"),
    [
        (0, Level.NORMAL),
        (19, Level.NORMAL),
        (20, Level.NORMAL),
        (21, Level.MONITOR),
        (50, Level.MONITOR),
        (51, Level.ALERT),
        (90, Level.ALERT),
        (91, Level.CRITICAL),
        (100, Level.CRITICAL),
        (103, Level.CRITICAL),
    ],
)
def test_a_level_begins_above_its_threshold_not_at_it(used: int, level: Level) -> None:
    """Up to and including 20 % is normal, and so on."""
    assert assess(make_policy(levels=AT_ONCE), Watch(), make_sample(used=used)).level is level


@pytest.mark.parametrize(
    ("idle", "level"), [(0, Level.NORMAL), (1, Level.MONITOR), (9, Level.MONITOR), (10, Level.ALERT)]
)
def test_a_level_begins_at_its_count_of_idle_sessions(idle: int, level: Level) -> None:
    """However few slots are used."""
    sample = make_sample(used=15, groups=[make_group(count=idle)])
    assert assess(make_policy(levels=AT_ONCE), Watch(), sample).level is level


@pytest.mark.parametrize(
    ("state", "age", "counted"),
    [
        ("idle", 600.0, True),
        ("idle", 3600.0, True),
        ("idle", 599.0, False),
        ("idle", 0.0, False),
        ("idle in transaction", 600.0, False),
        ("active", 600.0, False),
    ],
)
def test_only_sessions_idle_for_long_enough_count(state: str, age: float, counted: bool) -> None:
    """Idle in a transaction is not idle."""
    sample = make_sample(used=15, groups=[make_group(count=5, state=state, idle_for_at_least=age)])
    level = assess(make_policy(levels=AT_ONCE), Watch(), sample).level
    assert level is (Level.MONITOR if counted else Level.NORMAL)


def test_idle_sessions_are_summed_over_groups() -> None:
    """Ten sessions are ten, whoever holds them."""
    groups = [make_group(count=4, user="a"), make_group(count=6, user="b", idle_for_at_least=3600)]
    sample = make_sample(used=15, groups=groups)
    assert assess(make_policy(levels=AT_ONCE), Watch(), sample).level is Level.ALERT


def test_refused_connections_are_critical_though_the_view_shows_free_slots() -> None:
    """Half-authenticated clients take slots that the view does not show."""
    assessment = assess(make_policy(levels=AT_ONCE), Watch(), make_sample(used=10, probe=REFUSED))
    assert assessment.level is Level.CRITICAL
    assert "sorry, too many clients already" in assessment.because(Level.CRITICAL)


@pytest.mark.parametrize(
    ("sample", "evidence"),
    [
        (make_sample(used=96, probe=None), Evidence.BREACH),
        (make_sample(used=96, probe=UNAVAILABLE), Evidence.BREACH),
        (make_sample(used=10, probe=ACCEPTED), Evidence.CLEAR),
        (make_sample(used=10, probe=None), Evidence.UNKNOWN),
        (make_sample(used=10, probe=UNAVAILABLE), Evidence.UNKNOWN),
        (make_sample(used=None, probe=REFUSED), Evidence.BREACH),
        (make_sample(used=None, probe=ACCEPTED), Evidence.UNKNOWN),
        (make_sample(used=None, probe=None), Evidence.UNKNOWN),
    ],
)
def test_one_breach_is_enough_and_clear_needs_all(sample: Sample, evidence: Evidence) -> None:
    """What is not known does not hide what is, and nothing is clear while something is not known."""
    assessment = assess(make_policy(levels=AT_ONCE), Watch(), sample)
    assert assessment.evidence[Level.CRITICAL] is evidence


def test_no_reading_is_not_normal() -> None:
    """The level says nothing then, and the assessment says so."""
    assessment = assess(make_policy(), Watch(), make_sample(used=None, probe=None))
    assert assessment.level is Level.NORMAL
    assert assessment.unknown
    assert not assess(make_policy(), Watch(), make_sample(used=10)).unknown


@pytest.mark.parametrize(
    ("readings", "levels"),
    [
        # 5 s of breach, counted from its first sample
        ([(0, 96), (4.9, 96), (5, 96)], "mmc"),
        # a clear sample begins the count anew
        ([(0, 96), (4, 96), (5, 90), (6, 96), (10.9, 96), (11, 96)], "mmmmmc"),
        # an unknown one does not, but the time on both its sides is not counted
        ([(0, 96), (4, 96), (5, None), (6, 96), (6.9, 96), (7, 96)], "mmmmmc"),
        # however long it is unknown, that alone confirms nothing
        ([(0, 96), (1, None), (1000, None), (2000, 96), (2004, 96), (2005, 96)], "mmmmmc"),
        ([(0, 96), (1, None), (1000, None)], "mmm"),
    ],
)
def test_critical_is_confirmed_only_by_a_breach_that_lasts(
    readings: list[tuple[float, int | None]], levels: str
) -> None:
    """Monitor (m) is entered at once, critical (c) after 5 s."""
    names = {"m": Level.MONITOR, "c": Level.CRITICAL}
    assert timeline(make_policy(), *readings) == [names[letter] for letter in levels]


def test_pending_is_told_until_confirmed() -> None:
    """So that the next look comes soon."""
    first, second = follow(make_policy(), [make_sample(used=96, at=moment(s)) for s in (0, 5)])
    assert (first.pending, second.pending) == (Level.CRITICAL, None)
    assert (second.previous, second.level) == (Level.MONITOR, Level.CRITICAL)


@pytest.mark.parametrize(
    ("readings", "left"),
    [
        # the margin of 5 % must be reached, for 5 minutes
        ([(0, 85), (299, 85)], False),
        ([(0, 85), (300, 85)], True),
        ([(0, 86), (9999, 86)], False),
        ([(0, 85), (200, 86), (300, 85), (599, 85)], False),
        ([(0, 85), (200, 86), (300, 85), (600, 85)], True),
        # unknown neither clears nor begins the count anew
        ([(0, 85), (200, 85), (250, None), (9999, None)], False),
        ([(0, 85), (200, 85), (250, None), (251, 85), (351, 85)], True),
        ([(0, 85), (200, 85), (250, None), (251, 85), (350, 85)], False),
    ],
)
def test_a_level_is_left_only_well_below_its_threshold_and_for_good(
    readings: list[tuple[float, int | None]], left: bool
) -> None:
    """Hysteresis keeps a level from flapping."""
    critical = {Level.CRITICAL: AT_ONCE[Level.CRITICAL]}
    watch = Watch(frozenset({Level.CRITICAL}))
    samples = [make_sample(used=u, at=moment(s), probe=ACCEPTED if u else None) for s, u in readings]
    last = follow(make_policy(levels=critical), samples, watch)[-1]
    assert last.level is (Level.NORMAL if left else Level.CRITICAL)


@pytest.mark.parametrize("threshold", range(6, 101))
def test_exactly_the_margin_below_is_clear_for_every_percentage(threshold: int) -> None:
    """0.3 - 0.1 is not 0.2 in binary; people mean percentages."""
    levels = {Level.CRITICAL: LevelRule(Conditions(threshold / 100))}
    policy = make_policy(levels=levels, clear=ClearRule(0.05, timedelta(0)))
    held = Watch(frozenset({Level.CRITICAL}))
    assert assess(policy, held, make_sample(used=threshold - 5)).level is Level.NORMAL
    assert assess(policy, held, make_sample(used=threshold - 4)).level is Level.CRITICAL


def test_levels_are_left_one_by_one() -> None:
    """Each waits for its own threshold."""
    policy = make_policy(levels=AT_ONCE)
    levels = timeline(policy, (0, 96), (1, 60), (301, 60), (302, 10), (601, 10), (602, 10))
    assert levels == [Level.CRITICAL] * 2 + [Level.ALERT] * 3 + [Level.NORMAL]


def test_the_wall_clock_does_not_bend_dwell_times() -> None:
    """A jump of a day neither confirms nor clears anything."""
    samples = [make_sample(used=96, at=moment(0)), make_sample(used=96, at=moment(1, jumped=86_400))]
    assert follow(make_policy(), samples)[-1].level is Level.MONITOR


def test_a_level_without_a_rule_is_never_held() -> None:
    """Also when it was before the policy changed."""
    levels = {level: AT_ONCE[level] for level in (Level.ALERT, Level.CRITICAL)}
    watch = Watch(frozenset({Level.MONITOR}))
    assert assess(make_policy(levels=levels), watch, make_sample(used=30)).level is Level.NORMAL


@pytest.mark.parametrize(
    ("until", "used", "evidence"),
    [
        (0.5, 86, Evidence.BREACH),
        (0.5, 85, Evidence.CLEAR),
        (0.88, 89, Evidence.BREACH),
        (0.88, 88, Evidence.CLEAR),
        (0.88, 86, Evidence.CLEAR),
    ],
)
def test_the_ladder_ends_at_until_even_within_the_margin(until: float, used: int, evidence: Evidence) -> None:
    """Nothing is restarted to get further than the operator asked for."""
    assert critical_evidence(make_policy(until=until), make_sample(used=used)) is evidence


@pytest.mark.parametrize(
    ("used", "evidence"), [(86, Evidence.CLEAR), (90, Evidence.CLEAR), (91, Evidence.BREACH)]
)
def test_after_relief_only_the_threshold_itself_counts(used: int, evidence: Evidence) -> None:
    """The margin is for leaving, not for coming back."""
    assert critical_evidence(make_policy(), make_sample(used=used), relieved=True) is evidence


def test_the_reasons_are_in_words() -> None:
    """They are what people read first."""
    sample = replace(make_sample(used=96, probe=REFUSED), groups=(make_group(count=1),))
    assessment = assess(make_policy(levels=AT_ONCE), Watch(), sample)
    assert assessment.because(Level.CRITICAL) == (
        "96 of 100 usable slots used (96%), above 90%; "
        "new connections are refused (sorry, too many clients already)"
    )
    assert "1 session idle for 10m or longer, at least 1" in assessment.because(Level.MONITOR)


@pytest.mark.parametrize(
    ("sample", "alone"),
    [
        (make_sample(used=10, probe=REFUSED), True),
        (make_sample(used=50, probe=REFUSED), True),
        (make_sample(used=51, probe=REFUSED), False),
        (make_sample(used=97, probe=REFUSED, groups=[make_group(count=90, state="starting")]), True),
        (make_sample(used=97, probe=REFUSED, groups=[make_group(count=40, state="starting")]), False),
        (make_sample(used=10, probe=replace(REFUSED, own_limit=True)), False),
        (make_sample(used=10, probe=ACCEPTED), False),
        (make_sample(used=10, probe=None), False),
        (make_sample(used=None, probe=REFUSED), False),
    ],
)
def test_logins_are_to_blame_when_the_sessions_are_few(sample: Sample, alone: bool) -> None:
    """Shown by the view or not; a limit of the database itself is about its sessions."""
    assert only_logins(make_policy(), sample) is alone


def test_logins_are_not_alone_to_blame_where_idle_sessions_are_critical_too() -> None:
    """What sessions do is reason enough by itself."""
    conditions = Conditions(0.9, IdleCount(TEN_MINUTES, 5), refusing_connections=True)
    policy = make_policy(levels={Level.CRITICAL: LevelRule(conditions)})
    assert not only_logins(policy, make_sample(used=10, probe=REFUSED, groups=[make_group(count=5)]))
    assert only_logins(policy, make_sample(used=10, probe=REFUSED, groups=[make_group(count=4)]))
